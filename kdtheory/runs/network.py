"""One network of a run: what it is, who supervises it, where it lies; and what its training leaves.

Teacher, assistant and student are the same here. What differs is who supervises them, and what is
measured.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from kdtheory.archives import read_archive, write_archive
from kdtheory.datasets import ImageDataset, Split
from kdtheory.digests import Owner
from kdtheory.errors import RunError
from kdtheory.rows import Accuracies
from kdtheory.runs.clock import Clock
from kdtheory.runs.events import Events
from kdtheory.runs.unit import Unit
from kdtheory.targets import TargetProvider, Trajectory, stack
from kdtheory.targets.decisions import accuracy
from kdtheory.targets.stateful import StatefulMethod
from kdtheory.training import Trainer, TrainingData, predict_logits
from kdtheory.training.state import HostData
from kdtheory.typing import Variables

#: Logits of a network on each split, by the split's name.
SplitLogits = dict[str, Float[np.ndarray, "n d"]]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that is to be trained."""

    label: str
    """What it is, for messages: "teacher, seed 0"."""
    trainer: Trainer
    """Its architecture and its compiled training."""
    supervision: TargetProvider | StatefulMethod
    """What it is trained on."""
    data: TrainingData | HostData
    """The examples, where the trainer wants them."""
    init_key: jax.Array
    """PRNG key of its initial parameters."""
    train_key: jax.Array
    """PRNG key of its batches and augmentation."""
    points: Sequence[int]
    """Steps at which its variables are stored."""
    unit: Unit
    """Where they are stored."""

    def train(self, events: Events) -> Iterator[tuple[int, Variables]]:
        """Train it, and yield (step, variables) at every point; stored ones are read."""
        begun = last_step(self.unit.folder)
        if begun and begun < self.points[-1]:
            events.resumed(begun)
        clock = Clock()

        def on_step(step: int, loss: float) -> None:
            clock.step(step)
            events.step(step, loss)

        for point in self.trainer.train(
            self.supervision, self.data, init_key=self.init_key, train_key=self.train_key,
            points=self.points, folder=self.unit.folder, name=self.label, on_step=on_step,
            owner=self.unit.owner,
        ):  # fmt: skip
            clock.pause()
            yield point
        clock.write(self.unit.folder, self.points[-1])

    def auxiliary_at(self, step: int) -> Variables:
        """Return what its method trains beside it, as it is stored at a point.

        Raises:
          RunError: what is stored is damaged or another's.
        """
        assert isinstance(self.supervision, StatefulMethod)
        return self.trainer.stored_auxiliary(
            self.supervision, self.unit.folder, step, self.unit.owner
        )


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A network's checkpoints, and its logits at each of them."""

    trainer: Trainer | None
    """Its architecture; None of a teacher of which nothing but logits is known."""
    trajectory: Trajectory
    steps: tuple[int, ...]
    logits: tuple[SplitLogits, ...]

    @classmethod
    def of(
        cls,
        trainer: Trainer,
        steps: Sequence[int],
        variables: Sequence[Variables],
        logits: Sequence[SplitLogits],
    ) -> "TrainedNetwork":
        """Return the network with these checkpoints."""
        return cls(
            trainer=trainer,
            trajectory=stack(variables, steps),
            steps=tuple(steps),
            logits=tuple(logits),
        )

    @classmethod
    def of_logits(cls, steps: Sequence[int], logits: Sequence[SplitLogits]) -> "TrainedNetwork":
        """Return a network of which nothing but its checkpoints' logits is known."""
        return cls(
            trainer=None,
            trajectory=Trajectory({}, jnp.asarray(steps, jnp.int32)),
            steps=tuple(steps),
            logits=tuple(logits),
        )

    def at(self, positions: Sequence[int]) -> "TrainedNetwork":
        """Return the network with some of its checkpoints alone."""
        if len(positions) == len(self.steps):
            return self
        chosen = np.asarray(positions)
        steps = tuple(self.steps[i] for i in positions)
        variables = jax.tree.map(lambda leaf: leaf[chosen], self.trajectory.variables)
        return TrainedNetwork(
            trainer=self.trainer,
            trajectory=Trajectory(variables, jnp.asarray(steps, jnp.int32)),
            steps=steps,
            logits=tuple(self.logits[i] for i in positions),
        )

    def position(self, step: int) -> int:
        """Return the checkpoint that serves a student's step: the first with t_i >= step.

        Steps of teacher and student are compared as they are: where the teacher makes more of them
        (teacher_epochs, teacher_data), the student sees its early checkpoints alone; where it
        makes fewer, its last one for the rest. That is Algorithm 1 of the paper to the letter.
        """
        return int(self.trajectory.index(step))


def last_step(folder: Path) -> int:
    """Return the last step whose variables or whole state are stored in a folder; 0 for none."""
    found = [*folder.glob("step-*"), *folder.glob("resume/step-*")]
    return max((int(path.name[5:]) for path in found if path.name[5:].isdigit()), default=0)


def evenly_spaced_epochs(epochs: int, count: int) -> list[int]:
    """Return up to `count` different epochs from 0 to `epochs`, both included.

    >>> evenly_spaced_epochs(20, 5), evenly_spaced_epochs(2, 5)
    ([0, 5, 10, 15, 20], [0, 1, 2])
    """
    return sorted({round(i * epochs / (count - 1)) for i in range(count)})


def splits_of(dataset: ImageDataset) -> dict[str, Split]:
    """Return the splits that are not empty, by name; "sample" is what was set apart."""
    named = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    if dataset.sample is not None:
        named["sample"] = dataset.sample
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


def stored_logits(
    path: Path,
    trainer: Trainer,
    variables: Variables,
    dataset: ImageDataset,
    *,
    label: str,
    owner: Owner,
) -> SplitLogits:
    """Return a checkpoint's logits: from the file, where an earlier call left them.

    Raises:
      RunError: the file holds another network's, or those of another step or other examples.

    Warns:
      UserWarning: the file is damaged; the logits are computed again.
    """
    shapes = {name: (len(split), dataset.num_outputs) for name, split in splits_of(dataset).items()}
    try:
        arrays, wrong = read_archive(path, owner)
    except FileNotFoundError:
        arrays, wrong = {}, None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    found = {name: array.shape for name, array in arrays.items()}
    if wrong is None and found == shapes:
        return arrays
    if wrong is None and found:
        raise RunError(f"{path} holds logits of other examples; remove it to compute it again")
    if wrong is not None and wrong.foreign:
        raise RunError(f"{path} is another's ({wrong.reason}); remove it to compute it again")
    if wrong is not None:
        warnings.warn(f"{path} is damaged ({wrong.reason}); it is computed again", stacklevel=2)
    logits = split_logits(trainer, variables, dataset, label=label)
    write_archive(path, logits, owner)
    return logits


def accuracies(logits: SplitLogits, dataset: ImageDataset) -> Accuracies:
    """Return "train_accuracy", "validation_accuracy" (None without that split), "test_accuracy".

    Training accuracy is against the labels that were trained on, label noise included; validation
    and test labels have no noise.
    """
    splits = splits_of(dataset)

    found = {name: accuracy(logits[name], splits[name].labels) for name in splits if name in logits}
    return {
        "train_accuracy": found.get("train"),
        "validation_accuracy": found.get("validation"),
        "test_accuracy": found.get("test"),
    }
