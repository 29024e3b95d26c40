"""Binary CIFAR-100: a ResNet-20 teacher and a LeNet-5x1 student, every arm.

    python experiments/binary_cifar100.py [--seeds 3] [--out DIR] [any other flag of kdtheory run]

Needs CIFAR-100: `kdtheory data prepare cifar100`, or $KDTHEORY_DATA_DIR.
Expected run time: 14 minutes a seed on two CPU cores (AMD EPYC).
Result seen (one seed, experiments/results/binary_cifar100): adjusted complexity is ordered random
labels 4.60 > labels 4.28 > offline 1.11 >= online 0.78 on the student trained on labels, online
meets offline at the end, tau = 4 is simpler still. The teacher is weak at this size (58.8 %), all
students lie within 1.4 points of each other (55.2 to 56.6 %), and with one seed nothing about
accuracy is decided; online distillation was the least accurate.
"""

import sys

from kdtheory.cli import main

SETTINGS = [
    "--dataset", "cifar100", "--task", "first_half", "--teacher", "resnet20",
    "--student", "lenet5x1", "--train-size", "4096", "--validation-size", "500", "--augment",
    "--epochs", "20", "--ntk-size", "1024", "--seeds", "1", "--out", "runs/binary_cifar100",
]  # fmt: skip

if __name__ == "__main__":
    main(["run", *SETTINGS, *sys.argv[1:]])
