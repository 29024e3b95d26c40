"""Which kind of supervision gives the most accurate student, and how complex is it?

    python experiments/accuracy.py [--smoke | --full] [--out DIR]

Needs CIFAR-100: `kdtheory data prepare cifar100`, or $KDTHEORY_DATA_DIR; --smoke needs nothing.
Run time on two CPU cores: 25 min on one core, 17 of them the teachers that most studies share.
On one GPU (--full): not measured.
Result seen (experiments/results/accuracy):
offline at tau 4 has the highest mean; online is below offline; few differences are decided.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "accuracy", *sys.argv[1:]])
