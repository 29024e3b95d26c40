"""How complex is each kind of supervision for a student, along the student's training?

    python experiments/complexity_curve.py [--smoke | --full] [--out FOLDER]

This is `kdtheory study complexity_curve`; all its flags can be given.
docs/studies/complexity_curve.md says what is varied and how to read the
result.
Run time on two CPU cores: 15 min on one core, and 17 for the shared teachers.
On one GPU (--full): not measured.
Result seen (experiments/results/complexity_curve):
the paper's order, at every point; online starts low and meets offline.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "complexity_curve", *sys.argv[1:]])
