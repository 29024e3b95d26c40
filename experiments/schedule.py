"""When should the online teacher change: how often, and by time or by complexity?

    python experiments/schedule.py [--smoke | --full] [--out DIR] [any other flag of kdtheory study]

Needs CIFAR-100: `kdtheory data prepare cifar100`, or $KDTHEORY_DATA_DIR; --smoke needs nothing.
Expected run time: not measured on two CPU cores; not measured on one GPU (--full).
Result seen: see experiments/results/schedule.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "schedule", *sys.argv[1:]])
