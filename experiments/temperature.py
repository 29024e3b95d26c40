"""Where does the teacher-student bound put the best temperature, and where is it?

    python experiments/temperature.py [--smoke | --full] [--out FOLDER]

This is `kdtheory study temperature`; all its flags can be given.
docs/studies/temperature.md says what is varied and how to read the
result.
Run time on two CPU cores: 8 min on one core, and 17 for the shared teachers.
On one GPU (--full): not measured.
Result seen (experiments/results/temperature):
complexity, margin and bound fall together; accuracy rises by 0.6 points; the ratio stays.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "temperature", *sys.argv[1:]])
