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

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import jax
import numpy as np

from kdtheory.datasets import ImageDataset, Source, SourceSplit, load, register_source
from kdtheory.errors import InputError, KdtheoryError, Terminated
from kdtheory.runs.comparison import ARMS, ComparisonConfig, compare
from kdtheory.training import OptimizerConfig, enable_compilation_cache

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


def cifar100(path: Path | None) -> ImageDataset:
    """Load CIFAR-100 with no validation split: nothing here is chosen by looking at data."""
    if path is None:
        return load("cifar100", validation_size=0)
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

    return load("cifar100_npz", validation_size=0)


def settings(arguments: argparse.Namespace) -> ComparisonConfig:
    """Return what the flags describe."""
    optimizer = OptimizerConfig(
        learning_rate=arguments.learning_rate, schedule=arguments.schedule, warmup=arguments.warmup
    )
    names = {entry.name for entry in dataclasses.fields(ComparisonConfig)} - {"optimizer"}
    given = {name: value for name, value in vars(arguments).items() if name in names}
    given["arms"] = tuple(given["arms"])
    config = ComparisonConfig(optimizer=optimizer, **given)
    if arguments.smoke:
        return dataclasses.replace(
            config, teacher="resnet8", student="lenet5x1", seeds=2, epochs=2, batch_size=16,
            teacher_checkpoints=2, evaluations=2,
        )  # fmt: skip
    return config


def main() -> None:
    """Run the experiment."""
    default = ComparisonConfig()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="an .npz file or a folder of them")
    add("--out", type=Path, default=Path("runs/cifar100_resnet"))
    add("--work", type=Path, help="folder of checkpoints (default: OUT/checkpoints)")
    add("--smoke", action="store_true", help="in miniature, on made-up images")
    add("--teacher", default=default.teacher)
    add("--student", default=default.student)
    add("--arms", nargs="+", default=ARMS, choices=ARMS)
    add("--seeds", type=int, default=default.seeds)
    add("--epochs", type=int, default=default.epochs)
    add("--batch-size", type=int, default=default.batch_size)
    add("--learning-rate", type=float, default=0.1)
    add("--schedule", default="cosine", choices=["cosine", "step", "constant"])
    add("--warmup", type=float, default=0.02, help="part of the steps in which the rate rises")
    add("--temperature", type=float, default=default.temperature)
    add("--alpha", type=float, default=default.alpha)
    add("--teacher-checkpoints", type=int, default=default.teacher_checkpoints)
    add("--evaluations", type=int, default=default.evaluations)
    add("--compute-dtype", default=default.compute_dtype, choices=["float32", "bfloat16"])
    add("--together", choices=["interleaved", "vmap", "packed"])
    add("--compilation-cache", action="store_true")
    arguments = parser.parse_args()
    if arguments.compilation_cache:
        enable_compilation_cache()
    if arguments.smoke:
        dataset = load("synthetic", train_size=64, validation_size=0, test_size=32)
    else:
        dataset = cifar100(arguments.data)
    print(f"{jax.devices()[0].device_kind}; {len(dataset.train)} training images", flush=True)
    began = time.monotonic()

    def on_epoch(network: str, epoch: int, loss: float) -> None:
        if epoch <= 3 or epoch % 10 == 0:
            print(f"{time.monotonic() - began:8.1f} s  {network} epoch {epoch} loss {loss:.3f}",
                  flush=True)  # fmt: skip

    def on_row(row: dict) -> None:
        print(f"{time.monotonic() - began:8.1f} s  {row['network']} seed {row['seed']} "
              f"epoch {row['epoch']}: test accuracy {100 * row['test_accuracy']:.2f} %",
              flush=True)  # fmt: skip

    rows = compare(
        settings(arguments), dataset, arguments.out,
        work=arguments.work, on_row=on_row, on_epoch=on_epoch,
    )  # fmt: skip
    for network in ("teacher", *arguments.arms):
        values = [
            100 * row["test_accuracy"] for row in rows if row["final"] and row["network"] == network
        ]
        spread = f" +- {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
        print(f"{network:<8} {np.mean(values):.2f}{spread} % ({len(values)} networks)")


if __name__ == "__main__":
    try:
        main()
    except Terminated as order:
        print(f"{order}; the same command continues where it was", file=sys.stderr)
        raise SystemExit(order.exit_code) from None
    except KdtheoryError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
