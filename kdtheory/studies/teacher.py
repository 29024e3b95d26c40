"""A run's teacher: trained once a seed, its trajectory kept, its own accuracy measured."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float

from kdtheory.analysis import decisions
from kdtheory.datasets import ImageDataset, Split
from kdtheory.distillation import Labels, Trajectory, cross_entropy, stack
from kdtheory.errors import RunError
from kdtheory.studies.network import Trainer
from kdtheory.studies.store import Row, Unit, write_arrays
from kdtheory.training import TrainingData, predict_logits
from kdtheory.typing import Variables

#: Logits of a network on each split, by the split's name.
SplitLogits = dict[str, Float[np.ndarray, "n d"]]


def splits_of(dataset: ImageDataset) -> dict[str, Split]:
    """Return the splits that are not empty, by name."""
    named = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return {name: split for name, split in named.items() if len(split)}


def split_logits(
    trainer: Trainer, variables: Variables, dataset: ImageDataset, *, label: str
) -> SplitLogits:
    """Return a network's logits on every split, in inference mode and without augmentation.

    Raises:
      RunError: logits that are not finite: the training diverged. `label` says whose they are.
    """
    logits = {
        name: predict_logits(
            trainer.model.apply, variables, split.images, mean=dataset.mean, std=dataset.std
        )
        for name, split in splits_of(dataset).items()
    }
    if not all(np.isfinite(values).all() for values in logits.values()):
        raise RunError(
            f"{label}: the logits are not finite; likely cause: a learning rate that is too high"
        )
    return logits


def accuracies(logits: SplitLogits, dataset: ImageDataset) -> dict[str, float | None]:
    """Return "train_accuracy", "validation_accuracy" (None without that split), "test_accuracy".

    Training accuracy is against the labels that were trained on, label noise included; validation
    and test labels have no noise.
    """
    splits = splits_of(dataset)
    return {
        f"{name}_accuracy": (
            float(np.mean(decisions(logits[name]) == splits[name].labels))
            if name in logits
            else None
        )
        for name in ("train", "validation", "test")
    }


def _stored_logits(
    unit: Unit, step: int, trainer: Trainer, variables: Variables, dataset: ImageDataset, label: str
) -> SplitLogits:
    """Return a checkpoint's logits: from the unit, where an earlier call left them."""
    path = unit.folder / f"logits-{step:08d}.npz"
    if not path.exists():
        write_arrays(path, split_logits(trainer, variables, dataset, label=f"{label}, step {step}"))
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in splits_of(dataset)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} is damaged ({error}); remove it to compute it again") from error


@dataclass(frozen=True)
class TrainedTeacher:
    """A teacher's trajectory and its logits on the data, checkpoint by checkpoint."""

    trajectory: Trajectory
    steps: tuple[int, ...]
    logits: tuple[SplitLogits, ...]
    rows: list[Row]

    def position(self, step: int) -> int:
        """Return the checkpoint that serves a student's step: the first with t_i >= step."""
        return int(self.trajectory.index(step))


def teacher_points(trainer: Trainer, checkpoints: int) -> list[int]:
    """Return the steps of a teacher's evenly spaced checkpoints, at most one an epoch."""
    m = min(checkpoints, trainer.epochs)
    return [round(i * trainer.epochs / m) * trainer.epoch_steps for i in range(1, m + 1)]


def train_teacher(
    trainer: Trainer,
    unit: Unit,
    dataset: ImageDataset,
    data: TrainingData,
    *,
    key: jax.Array,
    checkpoints: int,
    context: Row,
    on_step: Callable[[int, float], None] | None = None,
) -> TrainedTeacher:
    """Train the teacher on the labels, or read what an earlier call stored.

    Args:
      trainer: the teacher's architecture.
      unit: where it is stored.
      dataset: the splits.
      data: the training split on the device.
      key: PRNG key of this seed's teacher.
      checkpoints: number m of evenly spaced checkpoints; at most one an epoch.
      context: what every row says besides the measurement.
      on_step: called with (step, loss) after each dispatch.
    """
    label = f"teacher, seed {context['seed']}"
    init_key, train_key = jax.random.split(key)
    points = teacher_points(trainer, checkpoints)
    variables, logits, rows = [], [], []
    for step, checkpoint in trainer.train(
        unit, Labels(dataset.num_outputs), data, init_key=init_key, train_key=train_key,
        points=points, label=label, on_step=on_step,
    ):  # fmt: skip
        variables.append(checkpoint)
        logits.append(_stored_logits(unit, step, trainer, checkpoint, dataset, label))
        loss = np.mean(cross_entropy(logits[-1]["train"], dataset.train.labels))
        rows.append({
            **context, "kind": "teacher", "step": step, "epoch": step // trainer.epoch_steps,
            "final": step == points[-1], "train_loss": float(loss),
            **accuracies(logits[-1], dataset),
        })  # fmt: skip
        if not unit.has_rows(step):
            unit.write_rows(step, rows[-1:])
    return TrainedTeacher(stack(variables, points), tuple(points), tuple(logits), rows)
