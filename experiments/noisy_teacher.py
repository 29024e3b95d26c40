"""Which terms of the teacher-student bound notice that a teacher is bad?

    python experiments/noisy_teacher.py [--smoke | --full] [--out FOLDER]

This is `kdtheory study noisy_teacher`; all its flags can be given. docs/studies/noisy_teacher.md
says what is varied and how to read the result.
Run time on two CPU cores: 3 min on one core.
On one GPU (--full): not measured.
Result seen (experiments/results/noisy_teacher):
label noise is noticed by the complexity term; noise on weights lowers the bound.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "noisy_teacher", *sys.argv[1:]])
