"""One network trained in a unit of a run's store, from wherever an earlier call left it."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import optax

from kdtheory import models
from kdtheory.datasets import (
    NO_AUGMENTATION,
    AugmentConfig,
    ImageDataset,
    default_augmentation,
)
from kdtheory.errors import InputError
from kdtheory.runs.config import RunConfig
from kdtheory.runs.store import Unit
from kdtheory.training import (
    OptimizerConfig,
    Pause,
    TrainingData,
    TrainState,
    default_steps_per_dispatch,
    init_state,
    make_optimizer,
    make_train_chunk,
    resumable,
    run,
    run_many,
    steps_per_epoch,
)
from kdtheory.typing import Variables


def evenly_spaced_epochs(epochs: int, count: int) -> list[int]:
    """Return up to `count` different epochs from 0 to `epochs`, both included.

    >>> evenly_spaced_epochs(20, 5), evenly_spaced_epochs(2, 5)
    ([0, 5, 10, 15, 20], [0, 1, 2])
    """
    return sorted({round(i * epochs / (count - 1)) for i in range(count)})


def augmentation_of(
    config: RunConfig, dataset: ImageDataset, *, teacher: bool = False
) -> AugmentConfig | None:
    """Return the data set's usual augmentation, cutout and mixup, or None where none is wanted.

    Args:
      config: the run.
      dataset: its data.
      teacher: whether the teacher's is meant, which may differ from the students'.

    Raises:
      InputError: the run wants it and the data set has none, or the cutout is as large as an image.
    """
    side = min(dataset.image_shape[:2])
    if config.training.cutout >= side:
        raise InputError(
            f"cutout must be below the images' {side} pixels, or nothing is left of some; "
            f"got {config.training.cutout}"
        )
    cutout, mixup = config.training.cutout, config.training.mixup
    own = config.teaching.teacher_augment if teacher else None
    if not (config.training.augment if own is None else own):
        alone = dataclasses.replace(NO_AUGMENTATION, cutout=cutout, mixup=mixup)
        return None if alone == NO_AUGMENTATION else alone
    usual = default_augmentation(config.data.dataset, dataset.image_shape)
    if usual == NO_AUGMENTATION:
        flag = "--augment" if own is None else "--teacher-augment"
        raise InputError(f"{config.data.dataset} has no augmentation; leave {flag} out")
    return dataclasses.replace(usual, cutout=cutout, mixup=mixup)


class Trainer:
    """A model with its compiled training, shared by every network of the same architecture.

    The compiled program takes the supervision as an argument, so the arms of one kind (and all
    seeds) share it.
    """

    def __init__(
        self, name: str, dataset: ImageDataset, config: RunConfig, optimizer: OptimizerConfig,
        epochs: int, augmentation: AugmentConfig | None, *, examples: int | None = None,
    ) -> None:  # fmt: skip
        """Compile the training of a model.

        Args:
          name: the model's.
          dataset: the students' data.
          config: the run.
          optimizer: of this network.
          epochs: passes over its examples.
          augmentation: of its images, or None.
          examples: how many it is trained on (default: the training split).
        """
        self.name = name
        self.model: nn.Module = models.create(name, dataset.num_outputs)
        self.epochs = epochs
        self.augmentation = augmentation
        count = len(dataset.train) if examples is None else examples
        self.epoch_steps = steps_per_epoch(count, config.training.batch_size)
        self.length = config.training.steps_per_dispatch or default_steps_per_dispatch(
            self.epoch_steps
        )
        self._image_shape = dataset.image_shape
        self._save_seconds = config.output.save_seconds
        self._optimizer: optax.GradientTransformation = make_optimizer(
            optimizer, epochs * self.epoch_steps
        )
        self._init_state = jax.jit(lambda variables: init_state(variables, self._optimizer))
        self._chunk = make_train_chunk(
            self.model,
            self._optimizer,
            batch_size=config.training.batch_size,
            augmentation=augmentation,
            length=self.length,
            compute_dtype=config.training.compute_dtype,
        )

    @property
    def total_steps(self) -> int:
        """Number of updates of a whole training."""
        return self.epochs * self.epoch_steps

    def check(self) -> None:
        """Raise InputError if the steps of a dispatch do not divide those of an epoch."""
        if self.epoch_steps % self.length:
            raise InputError(
                f"steps_per_dispatch must divide the {self.epoch_steps} steps of an epoch, "
                f"got {self.length}"
            )

    def initial_state(self, key: jax.Array) -> TrainState:
        """Return the state before the first update."""
        return self._init_state(models.init(self.model, key, self._image_shape))

    def train(
        self,
        unit: Unit,
        supervision: Any,
        data: TrainingData,
        *,
        init_key: jax.Array,
        train_key: jax.Array,
        points: Sequence[int],
        label: str,
        on_step: Callable[[int, float], None] | None = None,
    ) -> Iterator[tuple[int, Variables]]:
        """Train, and yield (step, variables) at every point; stored ones are read, not made again.

        Args:
          unit: where checkpoints lie.
          supervision: a target provider.
          data: the training split on the device.
          init_key: PRNG key of the initial parameters.
          train_key: PRNG key of batches and augmentation.
          points: steps to yield at, multiples of a compiled program's.
          label: what is being trained, for error messages.
          on_step: called with (step, loss) after each dispatch.
        """

        def train(state: TrainState, stops: Sequence[int], pause: Pause) -> Iterator[TrainState]:
            return run(
                self._chunk, state, supervision, data, train_key,
                stops=stops, name=label, on_chunk=on_step, pause=pause,
            )  # fmt: skip

        yield from resumable(
            train, self.initial_state(init_key), folder=unit.folder, points=points, name=label,
            save_seconds=self._save_seconds,
        )  # fmt: skip

    def train_many(
        self,
        folder: Path,
        supervisions: Sequence[Any],
        data: TrainingData,
        *,
        init_keys: Sequence[jax.Array],
        train_keys: Sequence[jax.Array],
        points: Sequence[int],
        labels: Sequence[str],
        on_step: Callable[[int, float], None] | None = None,
    ) -> Iterator[tuple[int, list[Variables]]]:
        """Train several networks together: `train` with a supervision, keys and a label for each.

        Yields (step, the variables of all) at every point; `folder` holds their checkpoints.
        """

        def train(
            states: list[TrainState], stops: Sequence[int], pause: Pause
        ) -> Iterator[list[TrainState]]:
            return run_many(
                self._chunk, states, supervisions, data, train_keys,
                stops=stops, names=labels, on_chunk=on_step, pause=pause,
            )  # fmt: skip

        yield from resumable(
            train, [self.initial_state(key) for key in init_keys], folder=folder, points=points,
            name=" and ".join(labels), save_seconds=self._save_seconds,
        )  # fmt: skip
