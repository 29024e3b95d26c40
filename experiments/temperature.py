"""Where does the teacher-student bound put the best temperature, and where is it?

    python experiments/temperature.py [--smoke | --full] [--out FOLDER]

This is `kdtheory study temperature`; all its flags can be given.
docs/studies/temperature.md says what is varied and how to read the
result.
Run time on two CPU cores: not measured. On one GPU (--full): not measured.
Result seen: see experiments/results/temperature.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "temperature", *sys.argv[1:]])
