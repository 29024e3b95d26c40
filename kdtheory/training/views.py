"""The views of a training: what its networks are shown, batch by batch, by its key."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from kdtheory.arguments import check_key
from kdtheory.datasets import AugmentConfig, StreamedSplit, stream, train_view
from kdtheory.datasets.augment import NO_AUGMENTATION
from kdtheory.errors import InputError
from kdtheory.targets.trajectory import Trajectory
from kdtheory.training.batches import step_key, steps_per_epoch
from kdtheory.training.epoch_orders import order_of_epoch
from kdtheory.training.state import HostData, TrainingData
from kdtheory.typing import ApplyFn


@functools.partial(jax.jit, static_argnames=("config",))
def _view(key: jax.Array, step: jax.Array, images: Any, mean: Any, std: Any, *, config: Any) -> Any:
    return train_view(step_key(key, step), images, mean=mean, std=std, config=config).images


@functools.partial(jax.jit, static_argnames=("apply_fn", "config"))
def _logits(
    variables: Any, key: jax.Array, step: jax.Array, images: Any, mean: Any, std: Any,
    *, apply_fn: ApplyFn, config: AugmentConfig,
) -> jax.Array:  # fmt: skip
    return apply_fn(variables, _view(key, step, images, mean, std, config=config))


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """What a training shows: each step's batch, augmented; `Trainer.views` makes it.

    It does not depend on the network, its supervision or the number of epochs: all students of a
    seed, at every learning rate and temperature, have the same.
    """

    data: TrainingData | HostData
    key: jax.Array
    """PRNG key of the training."""
    batch_size: int
    augmentation: AugmentConfig | None = None

    def __post_init__(self) -> None:
        check_key(self.key)
        if isinstance(self.data, HostData) and isinstance(self.data.split, StreamedSplit):
            raise InputError("views of images that are read from files are not known beforehand")
        if jax.process_count() > 1:
            raise InputError("views are those of one process")

    @property
    def _images(self) -> Any:
        """The whole split's images, as they are stored."""
        data = self.data
        if isinstance(data, TrainingData):
            return data.images
        assert not isinstance(data.split, StreamedSplit)
        return data.split.images

    @property
    def examples(self) -> int:
        """Size of the training split."""
        return int(np.shape(self._images)[0])

    @functools.cached_property
    def epoch_steps(self) -> int:
        """Number of updates of an epoch."""
        return steps_per_epoch(self.examples, self.batch_size)

    @property
    def shape_of_batch(self) -> jax.ShapeDtypeStruct:
        """What a network is shown in a step: (b, h, w, c), float32."""
        return jax.ShapeDtypeStruct((self.batch_size, *np.shape(self._images)[1:]), jnp.float32)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of everything that the views depend on, in hexadecimal digits.

        Of the first batch's view too: it would change with JAX's generators or this package's
        augmentation.
        """
        data = self.data
        images, config = np.ascontiguousarray(self._images), self.augmentation or NO_AUGMENTATION
        first = np.asarray(_view(
            self.key, jnp.int32(0), next(self._batches(0)), data.mean, data.std, config=config
        ))  # fmt: skip
        described = {
            "images": hashlib.sha256(images.reshape(-1).view(np.uint8).data).hexdigest(),
            "shape": list(images.shape),
            "mean": np.asarray(data.mean).tolist(),
            "std": np.asarray(data.std).tolist(),
            "key": _key_data(self.key),
            "batch_size": self.batch_size,
            "augmentation": dataclasses.asdict(config),
            "first": hashlib.sha256(first.tobytes()).hexdigest(),
        }
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()

    def shows(self, other: "Views") -> bool:
        """Return whether another training has the same views."""
        alike = self.batch_size == other.batch_size and _key_data(self.key) == _key_data(other.key)
        same = (self.augmentation or NO_AUGMENTATION) == (other.augmentation or NO_AUGMENTATION)
        return alike and same and (self.data is other.data or self.digest == other.digest)

    def positions(self, trajectory: Trajectory, epoch: int) -> np.ndarray:
        """Return which checkpoint teaches at each step of an epoch (0, 1, ...), (steps,)."""
        steps = np.asarray(trajectory.steps)
        updates = np.arange(self.epoch_steps) + epoch * self.epoch_steps + 1
        return np.minimum(np.searchsorted(steps, updates, side="left"), len(steps) - 1)

    def logits(
        self, apply_fn: ApplyFn, trajectory: Trajectory, epoch: int
    ) -> Float[np.ndarray, "steps b d"]:
        """Return a teacher's logits on the views of an epoch, each step's by its checkpoint.

        Args:
          apply_fn: the teacher's (variables, images) -> logits in inference mode.
          trajectory: its checkpoints.
          epoch: counted from zero.

        Returns:
          A row for each step, float32: what `targets.online` computes in that step, to rounding.
        """
        config, first = self.augmentation or NO_AUGMENTATION, epoch * self.epoch_steps
        rows: list[jax.Array] = []
        taught, variables = -1, None
        places = self.positions(trajectory, epoch)
        for place, (offset, images) in zip(places, enumerate(self._batches(epoch)), strict=True):
            if place != taught:
                taught = int(place)
                variables = jax.tree.map(lambda leaf: leaf[taught], trajectory.variables)  # noqa: B023
            rows.append(_logits(
                variables, self.key, jnp.int32(first + offset), images, self.data.mean,
                self.data.std, apply_fn=apply_fn, config=config,
            ))  # fmt: skip
        return np.stack([np.asarray(row, np.float32) for row in rows])

    def _batches(self, epoch: int) -> Iterator[Any]:
        """Yield the images of each of an epoch's batches, as they are stored."""
        order = order_of_epoch(self.key, jnp.int32(epoch), self.examples)
        if isinstance(self.data, HostData):
            host, first = np.asarray(order), epoch * self.epoch_steps
            batches = stream(
                self.data.split, batch_size=self.batch_size, order=lambda _: host,
                start_step=first, stop_step=first + self.epoch_steps,
            )  # fmt: skip
            yield from (batch.images for batch in batches)
            return
        images = jnp.asarray(self.data.images)
        for start in range(0, self.epoch_steps * self.batch_size, self.batch_size):
            yield images[order[start : start + self.batch_size]]


def _key_data(key: jax.Array) -> list[Any]:
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    kind = str(jax.random.key_impl(key)) if typed else "raw"
    return [kind, np.asarray(jax.random.key_data(key) if typed else key).tolist()]
