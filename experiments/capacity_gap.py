"""What does a teacher far above its student cost, and what mends it?

    python experiments/capacity_gap.py [--smoke | --full] [--out DIR]

Only --full needs CIFAR-100: `kdtheory data prepare cifar100`, or $KDTHEORY_DATA_DIR.
Run time on two CPU cores: 6 min on one core.
On one GPU (--full): not measured.
Result seen (experiments/results/capacity_gap):
complexity falls as students grow; the larger the gap, the larger the gain.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "capacity_gap", *sys.argv[1:]])
