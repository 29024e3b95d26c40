"""What is measured, at full size and in miniature. Imports nothing heavy: --help is at once."""

import argparse
import dataclasses
import math
from pathlib import Path
from typing import Any, NoReturn

#: The steps, in their order: what must be right first, then what is cheap, then what is long.
STEPS = ("self-test", "training", "gram", "whole kernel", "certified", "distillation")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """One measurement; two with other settings do not share a result file."""

    smoke: bool = False
    """In miniature, on a CPU: to see that it runs."""
    images: int = 50_000
    """Training images of an epoch, and rows of the whole kernel."""
    test_images: int = 10_000
    """Images that distilled networks are tested on."""
    side: int = 32
    """Of an image, in pixels."""
    classes: int = 100
    """Of the distillation; the kernels are of one output (first half of the classes or not)."""
    timed_models: tuple[str, ...] = ("resnet20", "resnet56", "lenet5x8")
    """Whose training is timed."""
    batch_size: int = 128
    """Images an update."""
    timed_dispatches: int = 3
    """Compiled programs (on an accelerator: whole epochs) that are timed after a first one."""
    kernel_models: tuple[str, ...] = ("resnet20", "lenet5x8")
    """Whose kernels are computed; the first one's kernel of all images too."""
    gram_sizes: tuple[int, ...] = (1024, 4096, 16384)
    """Images of the kernels whose time is taken."""
    precisions: tuple[str, ...] = ("highest", "tensorfloat32")
    """How float32 is multiplied in them."""
    gemm_size: int = 8192
    """Side of the matrices whose product measures the peak."""
    test_outputs: tuple[int, ...] = (1, 3)
    """Outputs of the networks of the self-test."""
    test_size: int = 32
    """Images of the self-test, and sampled from the whole kernel, compared with float64."""
    certified_size: int = 16384
    """Images of the dense kernel that certified values are of."""
    certified_products: int = 30
    """Passes over all images for the certified value without a kernel."""
    teacher: str = "resnet56"
    """Distilled from."""
    student: str = "lenet5x8"
    """Distilled into, with labels alone, offline and online."""
    most_epochs: int = 240
    """Epochs of teacher and students at most; fewer where the minutes allow no more."""


SMOKE = Settings(
    smoke=True, images=32, test_images=16, side=8, classes=4, timed_models=("lenet5x1",),
    batch_size=16, timed_dispatches=2, kernel_models=("mlp8x2",), gram_sizes=(16, 32),
    precisions=("highest",), gemm_size=256, test_outputs=(2,), test_size=8, certified_size=24,
    certified_products=20, teacher="mlp8x2", student="mlp8x1", most_epochs=2,
)  # fmt: skip


_DESCRIPTION = """\
Measure what this machine's accelerator does with kdtheory, and keep every figure as it comes.

    python -m benchmarks.accelerator --minutes 20 --data tfds --out runs/accelerator
    python -m benchmarks.accelerator --smoke                  (in miniature, on a CPU: a minute)

In this order, and each only while the minutes last:
  self-test     the kernel in float32 against float64, both on the device; ends here if it fails
  training      images a second, seconds an epoch (ResNet-20, ResNet-56, LeNet-5x8; two dtypes)
  gram          seconds of kernels of 1,024 to 16,384 images, and the share of the measured peak
  whole kernel  the kernel of all 50,000 images, from tiles that are stored
  certified     values of Y^T (K + ridge I)^-1 Y with a lower and an upper bound
  distillation  ResNet-56 to LeNet-5x8 on CIFAR-100, as many epochs as fit in what is left

Ended in any way (the minutes, Ctrl-C, a kill), the same command goes on where it was: what is in
OUT/result.json is not measured again. The table: python -m benchmarks.accelerator.table
OUT/result.json."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see python -m benchmarks.accelerator --help)\n")


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def _epochs(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's minutes, settings, data, out and fresh; exits with one line."""
    parser = _Parser(
        prog="python -m benchmarks.accelerator", description=_DESCRIPTION, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--minutes", type=_minutes, default=20.0, help="of this call; begin nothing later (20)")
    add("--smoke", action="store_true", help="everything in miniature, on made-up images")
    add("--data", type=Path, metavar="FOLDER",
        help="TFDS folder with cifar100, as `kdtheory data prepare` makes it; without it, made-up "
        "images of the same size (no accuracy then means anything)")  # fmt: skip
    add("--out", type=Path, metavar="FOLDER",
        help="result.json, tiles, checkpoints (runs/accelerator, or -smoke)")  # fmt: skip
    add("--epochs", type=_epochs,
        help="of the distillation, instead of as many as the minutes allow")  # fmt: skip
    add("--fresh", action="store_true", help="delete what OUT holds of an earlier call first")
    given = parser.parse_args(arguments)
    if given.data is not None and given.smoke:
        parser.error("--smoke makes its own images; leave --data out")
    if given.data is not None and not (given.data / "cifar100").is_dir():
        parser.error(f"--data {given.data} has no folder cifar100")
    given.out = given.out or Path("runs/accelerator-smoke" if given.smoke else "runs/accelerator")
    if given.out.exists() and not given.out.is_dir():
        parser.error(f"--out {given.out} is a file")
    given.settings = SMOKE if given.smoke else Settings()
    return given


def config(given: argparse.Namespace) -> dict[str, Any]:
    """Return what makes two measurements the same one, in JSON's types.

    >>> config(parse(["--smoke"]))["data"]
    'made-up images'
    """
    values = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(given.settings).items()
    }
    return {
        **values, "epochs": given.epochs,
        "data": "made-up images" if given.data is None else "cifar100",
    }  # fmt: skip
