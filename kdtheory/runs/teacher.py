"""A teacher, or an assistant: trained once a seed, its trajectory kept, its accuracy measured."""

import functools
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from kdtheory.analysis import decisions
from kdtheory.datasets import ImageDataset, Split
from kdtheory.errors import RunError
from kdtheory.files import write_arrays
from kdtheory.rows import Accuracies, SeedFields, TeacherRow
from kdtheory.runs.store import Unit
from kdtheory.runs.teacher_changes import perturbed, thinned
from kdtheory.targets import TargetProvider, Trajectory, cross_entropy, stack
from kdtheory.training import HostData, Trainer, TrainingData, predict_logits
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
            trainer.module.apply, variables, split.images, mean=dataset.mean, std=dataset.std
        )
        for name, split in splits_of(dataset).items()
    }
    if not all(np.isfinite(values).all() for values in logits.values()):
        raise RunError(
            f"{label}: the logits are not finite; likely cause: a learning rate that is too high"
        )
    return logits


def accuracies(logits: SplitLogits, dataset: ImageDataset) -> Accuracies:
    """Return "train_accuracy", "validation_accuracy" (None without that split), "test_accuracy".

    Training accuracy is against the labels that were trained on, label noise included; validation
    and test labels have no noise.
    """
    splits = splits_of(dataset)

    def accuracy(name: str) -> float | None:
        if name not in logits:
            return None
        return float(np.mean(decisions(logits[name]) == splits[name].labels))

    return {
        "train_accuracy": accuracy("train"),
        "validation_accuracy": accuracy("validation"),
        "test_accuracy": accuracy("test"),
    }


def _stored_logits(
    path: Path, trainer: Trainer, variables: Variables, dataset: ImageDataset, label: str
) -> SplitLogits:
    """Return a checkpoint's logits: from the file, where an earlier call left them."""
    if not path.exists():
        write_arrays(path, split_logits(trainer, variables, dataset, label=label))
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
    online_positions: tuple[int, ...]
    """The checkpoints that the online teacher uses, the last among them."""

    @functools.cached_property
    def online(self) -> "TrainedTeacher":
        """The teacher of online distillation: this one with the checkpoints that it uses alone."""
        positions = self.online_positions
        if len(positions) == len(self.steps):
            return self
        chosen = np.asarray(positions)
        steps = tuple(self.steps[i] for i in positions)
        return TrainedTeacher(
            Trajectory(
                jax.tree.map(lambda leaf: leaf[chosen], self.trajectory.variables),
                jnp.asarray(steps, jnp.int32),
            ),
            steps,
            tuple(self.logits[i] for i in positions),
            tuple(range(len(positions))),
        )

    def position(self, step: int) -> int:
        """Return the checkpoint that serves a student's step: the first with t_i >= step.

        Steps of teacher and student are compared as they are: where the teacher makes more of them
        (teacher_epochs, teacher_data), the student sees its early checkpoints alone; where it
        makes fewer, its last one for the rest. That is Algorithm 1 of the paper to the letter.
        """
        return int(self.trajectory.index(step))


class Perturbation(NamedTuple):
    """Noise on a teacher's parameters: see `teacher_changes.perturbed`."""

    scale: float
    key: jax.Array
    """Each checkpoint's noise comes from this key and its step."""
    unit: Unit
    """Where the disturbed checkpoints' logits are kept."""


def teacher_points(trainer: Trainer, checkpoints: int) -> list[int]:
    """Return the steps of a teacher's evenly spaced checkpoints, the last step among them.

    They are at the ends of epochs if there are at least as many epochs as checkpoints; otherwise
    at multiples of the steps of a compiled program, at most one a program.
    """
    if checkpoints <= trainer.epochs:
        unit, units = trainer.epoch_steps, trainer.epochs
    else:
        unit, units = trainer.length, trainer.total_steps // trainer.length
    m = min(checkpoints, units)
    return [round(i * units / m) * unit for i in range(1, m + 1)]


def train_teacher(
    trainer: Trainer,
    unit: Unit,
    supervision: TargetProvider,
    dataset: ImageDataset,
    data: TrainingData | HostData,
    *,
    key: jax.Array,
    points: Sequence[int],
    kept: Sequence[int],
    online_checkpoints: int | None,
    label: str,
    perturbation: Perturbation | None = None,
    on_step: Callable[[int, float], None] | None = None,
    on_rows: Callable[[int, Sequence[Mapping[str, Any]]], None] | None = None,
) -> TrainedTeacher:
    """Train a teacher, or read what an earlier call stored.

    Args:
      trainer: the teacher's architecture.
      unit: where its checkpoints and their logits are stored.
      supervision: what it is trained on: the labels, or an assistant's teacher.
      dataset: the splits of the students.
      data: the split that the teacher is trained on.
      key: PRNG key of this seed's teacher.
      points: steps at which it is stored.
      kept: the first of them, which students see: see `kept_points`.
      online_checkpoints: how many of those the online teacher uses; None for all.
      label: what is trained, for messages.
      perturbation: noise on every kept checkpoint's parameters.
      on_step: called with (step, loss) after each dispatch.
      on_rows: called with (step, accuracies) at each kept point that is measured now.

    Raises:
      RunError: the training diverged, or something stored is damaged.
    """
    init_key, train_key = jax.random.split(key)
    variables: list[Variables] = []
    logits: list[SplitLogits] = []
    for step, checkpoint in trainer.train(
        supervision, data, init_key=init_key, train_key=train_key,
        points=points, folder=unit.folder, name=label, on_step=on_step,
    ):  # fmt: skip
        if step not in kept:
            continue
        path = unit.folder / f"logits-{step:08d}.npz"
        if perturbation is not None:
            step_key = jax.random.fold_in(perturbation.key, step)
            checkpoint = perturbed(checkpoint, scale=perturbation.scale, key=step_key)
            path = perturbation.unit.folder / f"perturbed-{step:08d}.npz"
        is_new = not path.exists()
        variables.append(checkpoint)
        logits.append(_stored_logits(path, trainer, checkpoint, dataset, f"{label}, step {step}"))
        if is_new and on_rows is not None:
            on_rows(step, [accuracies(logits[-1], dataset)])
    return TrainedTeacher(
        stack(variables, kept), tuple(kept), tuple(logits), thinned(kept, online_checkpoints)
    )


def teacher_rows(
    teacher: TrainedTeacher,
    trainer: Trainer,
    unit: Unit,
    dataset: ImageDataset,
    context: SeedFields,
) -> list[TeacherRow]:
    """Return a teacher's rows, one a checkpoint, and store them.

    Loss and accuracies are those on the students' splits, with the labels that students have,
    whatever the teacher was trained on.

    Args:
      teacher: as students see it.
      trainer: its architecture.
      unit: where this run keeps the rows.
      dataset: the splits.
      context: what every row says besides the measurement.
    """
    rows: list[TeacherRow] = []
    for step, logits in zip(teacher.steps, teacher.logits, strict=True):
        loss = np.mean(cross_entropy(logits["train"], dataset.train.labels))
        epoch, rest = divmod(step, trainer.epoch_steps)
        rows.append({
            **context, "kind": "teacher", "step": step,
            "epoch": step / trainer.epoch_steps if rest else epoch,
            "final": step == teacher.steps[-1], "train_loss": float(loss),
            **accuracies(logits, dataset),
        })  # fmt: skip
        if not unit.has_rows(step):
            unit.write_rows(step, rows[-1:])
    return rows
