"""Do NTK similarity, fidelity and test accuracy of students rise together?

    python experiments/similarity.py [--smoke | --full] [--out DIR] [any other flag of kdtheory study]

Reads the runs of `kdtheory study accuracy`, and makes those that are missing.
Needs CIFAR-100: `kdtheory data prepare cifar100`, or $KDTHEORY_DATA_DIR; --smoke needs nothing.
Expected run time: not measured on two CPU cores; not measured on one GPU (--full).
Result seen: see experiments/results/similarity.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "similarity", *sys.argv[1:]])
