"""When should the teacher be stopped: what does the bound say, and what accuracy?

    python experiments/early_stopping.py [--smoke | --full] [--out FOLDER]

This is `kdtheory study early_stopping`; all its flags can be given.
docs/studies/early_stopping.md says what is varied and how to read the
result.
Run time on two CPU cores: 9 min on one core, and 17 for the shared teachers.
On one GPU (--full): not measured.
Result seen (experiments/results/early_stopping):
complexity rises with the stopping time, and so does accuracy: the bound chooses wrongly.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "early_stopping", *sys.argv[1:]])
