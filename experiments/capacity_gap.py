"""What does a teacher far above its student cost, and what mends it?

    python experiments/capacity_gap.py [--smoke | --full] [--out DIR] [any other flag of kdtheory study]

Needs CIFAR-100: `kdtheory data prepare cifar100`, or $KDTHEORY_DATA_DIR; --smoke needs nothing.
Expected run time: not measured on two CPU cores; not measured on one GPU (--full).
Result seen: see experiments/results/capacity_gap.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "capacity_gap", *sys.argv[1:]])
