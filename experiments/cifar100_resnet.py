"""CIFAR-100, all classes and images: a ResNet-56 teacher, ResNet-20 students on three arms.

    python experiments/cifar100_resnet.py --data cifar100.npz --out runs/cifar100_resnet \\
        --compute-dtype bfloat16

Last-epoch test accuracy of students on labels, offline and online distillation (tau = 4), three
seeds each. The same command continues a run that was ended in any way. Published for this pair
(RepDistiller, mdistiller): teacher 72.34, student alone 69.06, KD 70.66, DKD 71.97.

--data is an .npz file (or a folder of them, whose arrays are joined in the order of the file names)
with train_images, train_labels, test_images, test_labels, or x, y, xt, yt: uint8 (n, 32, 32, 3)
and integers. Without it CIFAR-100 is read from $KDTHEORY_DATA_DIR (`kdtheory data prepare
cifar100`). --smoke runs everything in miniature on made-up images, in a minute on a CPU.
Needs an accelerator for the full schedule. Besides the package's own code only JAX, Flax, optax,
orbax and NumPy are used.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from kdtheory.commands.run import Run, run
from kdtheory.datasets import Source, SourceSplit, register_source
from kdtheory.errors import InputError, KdtheoryError, Terminated
from kdtheory.runs import RunConfig
from kdtheory.training import OptimizerConfig

#: Names of the four arrays in files that others write.
SHORT = {"train_images": "x", "train_labels": "y", "test_images": "xt", "test_labels": "yt"}


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the four arrays of an .npz file or of a folder of them."""
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in SHORT}
    for file in files:
        try:
            with np.load(file, allow_pickle=False) as stored:
                for name, short in SHORT.items():
                    found = next((key for key in (name, short) if key in stored), None)
                    if found is not None:
                        parts[name].append(stored[found])
        except (OSError, ValueError) as error:
            raise InputError(f"{file} cannot be read as an .npz file: {error}") from error
    missing = [name for name, arrays in parts.items() if not arrays]
    if missing:
        raise InputError(f"{path} holds no {', '.join(missing)}; see this script's first lines")
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def register(path: Path) -> None:
    """Make the arrays of files known as the data set cifar100_npz."""
    arrays = read_arrays(path)

    @register_source("cifar100_npz")
    def source() -> Source:
        splits = [
            SourceSplit.from_arrays(
                f"{path}:{name}",
                arrays[f"{name}_images"],
                arrays[f"{name}_labels"].astype(np.int32),
            )
            for name in ("train", "test")
        ]
        classes = tuple(f"class {i}" for i in range(int(arrays["train_labels"].max()) + 1))
        return Source(
            name="cifar100", class_names=classes, train=splits[0], test=splits[1],
            validation=None, provenance={"source": str(path)},
        )  # fmt: skip


#: The usual setting of this pair; nothing is chosen by looking at data, so none is held out.
SETTING = RunConfig.of(
    dataset="cifar100", validation_size=0, teacher="resnet56", student="resnet20",
    arms=("labels", "offline", "online"), temperatures=(4.0,), alpha=0.9, seeds=3,
    one_teacher=True, epochs=240, teacher_checkpoints=60, batch_size=128, augment=True,
    student_optimizer=OptimizerConfig(learning_rate=0.1, warmup=0.02, gradient_clip=None),
    teacher_optimizer=OptimizerConfig(learning_rate=0.1, warmup=0.02, gradient_clip=None),
    together="seeds", kernel="none", points=13, out="runs/cifar100_resnet",
)  # fmt: skip

#: In miniature, on made-up images.
SMOKE = SETTING.replace(
    dataset="synthetic", train_size=64, test_size=32, teacher="resnet8", student="lenet5x1",
    seeds=2, epochs=2, batch_size=16, teacher_checkpoints=2, points=3,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Experiment(Run):
    """CIFAR-100, ResNet-56 to ResNet-20: a run without kernels; every setting of it is a flag."""

    data: Path | None = None
    """An .npz file or a folder of them."""


def main() -> None:
    """Run the experiment."""
    smoke = "--smoke" in sys.argv
    words = [word for word in sys.argv[1:] if word != "--smoke"]
    default = Experiment(run=SMOKE if smoke else SETTING)
    options = tyro.cli(Experiment, args=words, default=default)
    if options.data is not None:
        register(options.data)
        config = options.run.replace(dataset="cifar100_npz")
        options = Experiment(run=config, fresh=options.fresh)
    run(options)


if __name__ == "__main__":
    try:
        main()
    except Terminated as order:
        print(f"{order}; the same command continues where it was", file=sys.stderr)
        raise SystemExit(order.exit_code) from None
    except KdtheoryError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
