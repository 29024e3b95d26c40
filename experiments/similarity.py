"""Do NTK similarity, fidelity and test accuracy of students rise together?

    python experiments/similarity.py [--smoke | --full] [--out DIR]

Reads the runs of `kdtheory study accuracy`, and makes those that are missing.
Needs CIFAR-100: `kdtheory data prepare cifar100`, or $KDTHEORY_DATA_DIR; --smoke needs nothing.
Run time on two CPU cores: 10 s beyond the runs of accuracy.
On one GPU (--full): not measured.
Result seen (experiments/results/similarity):
fidelity and accuracy rise together on the digits; nothing is decided on CIFAR-100.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "similarity", *sys.argv[1:]])
