"""How complex is each kind of supervision for a student, along the student's training?

    python experiments/complexity_curve.py [--smoke | --full] [--out FOLDER]

This is `kdtheory study complexity_curve`; all its flags can be given.
docs/studies/complexity_curve.md says what is varied and how to read the
result.
Run time on two CPU cores: not measured. On one GPU (--full): not measured.
Result seen: see experiments/results/complexity_curve.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "complexity_curve", *sys.argv[1:]])
