"""The line on the real CIFAR-100, where $KDTHEORY_DATA_DIR has it."""

import os
from pathlib import Path

import pytest

from kdtheory.runs import execute

DATA_DIR = os.environ.get("KDTHEORY_DATA_DIR")

pytestmark = pytest.mark.skipif(
    not DATA_DIR or not (Path(DATA_DIR) / "cifar100").exists(),
    reason="KDTHEORY_DATA_DIR names no folder with a prepared cifar100",
)


@pytest.mark.slow
def test_binary_cifar100(tiny):
    config = tiny.replace(
        dataset="cifar100", task="first_half", data_dir=None, augment=True, train_size=128,
        validation_size=16, test_size=32, batch_size=64, arms=("labels", "online"), epochs=2,
        temperatures=(4.0,), points=2, student="lenet5x1",
    )  # fmt: skip
    rows = execute(config, quiet=True)
    final = [row for row in rows if row["kind"] == "student" and row["final"]]
    assert len(final) == 2
    control, labels = (
        [
            row["adjusted_complexity"]
            for row in rows
            if row["kind"] == "complexity" and row["supervision"] == name
        ]
        for name in ("random_labels", "labels")
    )
    assert len(control) == len(labels) == 4
    assert all(0 < value < 100 for value in control + labels)


@pytest.mark.slow
def test_a_hundred_classes_by_the_mean_kernel(tiny):
    """n d = 12,800 outputs: the kernel summed over outputs keeps it small."""
    config = tiny.replace(dataset="cifar100", task="full", train_size=400, validation_size=100,
        test_size=100, batch_size=100, kernel="trace", ntk_size=128, student="lenet5x1",
        arms=("labels", "offline"), points=2,
    )  # fmt: skip
    rows = execute(config, quiet=True)
    assert all(row["residual"] < 1e-8 for row in rows if row["kind"] == "complexity")
