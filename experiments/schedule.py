"""When should the online teacher change: how often, and by time or by complexity?

    python experiments/schedule.py [--smoke | --full] [--out DIR]

Only --full needs CIFAR-100: `kdtheory data prepare cifar100`, or $KDTHEORY_DATA_DIR.
Run time on two CPU cores: 3 min on one core.
On one GPU (--full): not measured.
Result seen (experiments/results/schedule):
more changes are simpler, not more accurate; the matched arm is worse than the paper's rule.
"""

import sys

from kdtheory.cli import main

if __name__ == "__main__":
    main(["study", "schedule", *sys.argv[1:]])
