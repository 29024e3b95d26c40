"""How the networks of one architecture are trained, and the training itself: alone or together."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Float

from kdtheory import models
from kdtheory.arguments import check_count, check_key
from kdtheory.datasets import AugmentConfig, Split, StreamedSplit, stream
from kdtheory.digests import Owner
from kdtheory.errors import InputError
from kdtheory.targets.provider import TargetProvider
from kdtheory.targets.stateful import StatefulMethod
from kdtheory.targets.tabulated import check_tables
from kdtheory.training.batches import steps_per_epoch
from kdtheory.training.checkpoints import Checkpoints
from kdtheory.training.chunk import (
    Together,
    TrainChunk,
    default_steps_per_dispatch,
    make_train_chunk,
)
from kdtheory.training.epoch_orders import order_of_epoch
from kdtheory.training.loop import OnChunk, Pause, run, run_many
from kdtheory.training.optimizers import OptimizerConfig, make_optimizer
from kdtheory.training.precision import in_precision
from kdtheory.training.resuming import AUXILIARY, SAVE_SECONDS, resumable
from kdtheory.training.state import (
    Auxiliary,
    HostData,
    TrainingData,
    TrainState,
    init_state,
    training_data,
)
from kdtheory.training.stateful_step import check_augmentation
from kdtheory.training.streamed import run_streamed
from kdtheory.training.teacher_cache import check_views
from kdtheory.training.views import Views
from kdtheory.typing import ApplyFn, ArrayLike, Variables

#: On accelerators, how many steps' streamed batches are sent to the device together.
STREAMED_STEPS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Trainer:
    """A description of how networks are trained, that trains them.

    Networks of one architecture share it, and so its compiled programs: the supervision and the
    data are arguments of these. What a network becomes is a function of this description, its
    targets, its data and its two keys alone, wherever its training was interrupted.

    >>> from kdtheory.datasets import load
    >>> from kdtheory.targets import Labels
    >>> data = load("synthetic", train_size=32, test_size=16)
    >>> trainer = Trainer(
    ...     module=models.create("mlp8x1", data.num_outputs), image_shape=data.image_shape,
    ...     examples=len(data.train), epochs=2, batch_size=16,
    ... )
    >>> keys = {"init_key": jax.random.key(0), "train_key": jax.random.key(1)}
    >>> placed = trainer.place(data.train, mean=data.mean, std=data.std)
    >>> points = trainer.train(Labels(data.num_outputs), placed, points=[0, 4], **keys)
    >>> [(step, sorted(variables)) for step, variables in points]
    [(0, ['params']), (4, ['params'])]
    """

    module: nn.Module
    """`(images, train) -> logits`."""
    image_shape: tuple[int, int, int]
    """Height, width and channels of an image."""
    examples: int
    """Size of the training split."""
    epochs: int
    """Passes over it; the learning rate's schedule has their length."""
    batch_size: int = 128
    """Examples an update, over all devices."""
    optimizer: OptimizerConfig | optax.GradientTransformation = field(
        default_factory=OptimizerConfig
    )
    """A configuration, or an optax transformation."""
    augmentation: AugmentConfig | None = None
    """Of each batch, in the compiled program."""
    compute_dtype: str = "float32"
    """"float32" or "bfloat16", see `make_train_chunk`."""
    steps_per_dispatch: int | None = None
    """Steps of one compiled program, a divisor of an epoch's (default: chosen for the backend)."""
    mesh: Mesh | None = None
    """Devices that share each batch (`data_mesh`); the numbers are one device's, to rounding."""
    streamed: bool = False
    """Leave the images on the host and send each batch to the device (needs the extra `grain`). The
    batches are those of a split on the device, and so are the numbers, to rounding."""
    together: Together | None = None
    """How `train_many` runs its networks (default: `default_together`)."""
    variables: Variables | None = None
    """Where networks start: what it has of the model's arrays (`models.match_variables`); the rest,
    or all by default, is initialised by each network's key."""
    save_seconds: float = SAVE_SECONDS
    """Between two points, a state in a folder is saved as often."""

    def __post_init__(self) -> None:
        for name in ("examples", "epochs", "batch_size"):
            check_count(name, getattr(self, name))
        if self.steps_per_dispatch is not None:
            check_count("steps_per_dispatch", self.steps_per_dispatch)
        if self.epoch_steps % self.length:
            raise InputError(
                f"steps_per_dispatch must divide the {self.epoch_steps} steps of an epoch, "
                f"got {self.length}"
            )
        assert self.chunk.length == self.length  # and so what is wrong with the rest is said now

    @functools.cached_property
    def epoch_steps(self) -> int:
        """Number of updates of an epoch."""
        return steps_per_epoch(self.examples, self.batch_size)

    @property
    def total_steps(self) -> int:
        """Number of updates of a whole training."""
        return self.epochs * self.epoch_steps

    @functools.cached_property
    def length(self) -> int:
        """Steps of one compiled program."""
        if self.steps_per_dispatch is not None:
            return self.steps_per_dispatch
        limit = STREAMED_STEPS if self.streamed else None
        return default_steps_per_dispatch(self.epoch_steps, limit=limit)

    @functools.cached_property
    def transformation(self) -> optax.GradientTransformation:
        """The optimiser."""
        if isinstance(self.optimizer, OptimizerConfig):
            return make_optimizer(self.optimizer, self.total_steps)
        return self.optimizer

    @functools.cached_property
    def chunk(self) -> TrainChunk:
        """The compiled program."""
        return make_train_chunk(
            self.module,
            self.transformation,
            batch_size=self.batch_size,
            augmentation=self.augmentation,
            length=self.length,
            compute_dtype=self.compute_dtype,
            mesh=self.mesh,
        )

    @functools.cached_property
    def apply_fn(self) -> ApplyFn:
        """(variables, images) -> logits in inference mode, in the training's precision."""
        return in_precision(self.module.apply, self.compute_dtype)

    @functools.cached_property
    def _first_state(self) -> Callable[[Variables], TrainState]:
        return jax.jit(lambda variables: init_state(variables, self.transformation))

    def initial_state(
        self, key: jax.Array, targets: TargetProvider | StatefulMethod | None = None
    ) -> TrainState:
        """Return the state before the first update; of a method's own variables too."""
        variables: Variables = models.init(self.module, key, self.image_shape)
        if self.variables is not None:
            variables = models.match_variables(variables, self.variables).variables
        state = self._first_state(variables)
        if not isinstance(targets, StatefulMethod):
            return state
        own = self.initial_auxiliary(key, targets)
        return state._replace(auxiliary=Auxiliary(own, self.transformation.init(own["params"])))

    def initial_auxiliary(self, key: jax.Array, method: StatefulMethod) -> dict[str, Any]:
        """Return a method's own variables before the first update."""
        return method.init(
            jax.random.fold_in(key, 1),
            lambda own_key: models.init(self.module, own_key, self.image_shape),
        )

    def stored_auxiliary(
        self, method: StatefulMethod, folder: Path, step: int, owner: Owner | None = None
    ) -> dict[str, Any]:
        """Return a method's own variables at a point that `train` stored in a folder.

        Raises:
          RunError: there are none, or they are damaged or another's.
        """
        like = jax.eval_shape(lambda: self.initial_auxiliary(jax.random.key(0), method))
        stored = Checkpoints(folder / AUXILIARY, owner)
        try:
            return stored.restore(step, like)
        finally:
            stored.close()

    def place(
        self,
        split: Split | StreamedSplit,
        *,
        mean: Float[ArrayLike, " c"],
        std: Float[ArrayLike, " c"],
    ) -> TrainingData | HostData:
        """Put a training split where this trainer wants it: on the device, or left on the host.

        Args:
          split: of `examples` examples.
          mean: its mean (c,), in units of pixel / 255.
          std: its standard deviation (c,), in the same units.

        Raises:
          InputError: a split whose images are in files and that is not to be streamed.
        """
        if self.streamed:
            return HostData(split, jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32))
        if isinstance(split, StreamedSplit):
            raise InputError("images that are read from files can only be streamed: streamed=True")
        return training_data(split, mean=np.asarray(mean), std=np.asarray(std))

    def views(self, data: TrainingData | HostData, *, train_key: jax.Array) -> Views:
        """Return what a training shows its networks, for `cached_teacher`.

        Args:
          data: from `place`.
          train_key: PRNG key of the training.

        Raises:
          InputError: a key that is none, images that are read from files, several processes.
        """
        return Views(
            data=data, key=train_key, batch_size=self.batch_size, augmentation=self.augmentation
        )

    def train(
        self,
        targets: TargetProvider | StatefulMethod,
        data: TrainingData | HostData,
        *,
        init_key: jax.Array,
        train_key: jax.Array,
        points: Sequence[int],
        folder: Path | None = None,
        name: str = "training",
        on_step: OnChunk | None = None,
        owner: Owner | None = None,
    ) -> Iterator[tuple[int, Variables]]:
        """Train a network, and yield (step, variables) at every point.

        Args:
          targets: what supervises it, or a method with variables of its own.
          data: from `place`.
          init_key: PRNG key of the initial parameters.
          train_key: PRNG key of the batches, the augmentation and dropout.
          points: increasing steps to yield at, multiples of `length`.
          folder: keep the points' variables there, and whole states in between: what an earlier
            call left is read, and training goes on from it, bit for bit (`resumable`).
          name: what is being trained, for messages.
          on_step: called with (step, loss) after each dispatch.
          owner: whose training it is; what lies in the folder of another is refused (default: not
            compared).

        Raises:
          InputError: points that do not increase or are no multiples of `length`; a key that is
            none; a table of logits of other examples, or beside augmentation.
          NonFiniteLossError: a loss that is not finite, with its step and the likely cause.
          RunError: the folder is damaged, or the disk full.
          Terminated: SIGTERM; the state is in the folder.
        """

        def states(
            state: TrainState, stops: Sequence[int], pause: Pause | None = None
        ) -> Iterator[TrainState]:
            common: Any = {"stops": stops, "name": name, "on_chunk": on_step, "pause": pause}
            if isinstance(data, TrainingData):
                return run(self.chunk, state, targets, data, train_key, **common)
            return run_streamed(
                self.chunk, state, targets, self._batches(data, train_key), train_key,
                mean=data.mean, std=data.std, **common,
            )  # fmt: skip

        self._check(targets, data, train_key)
        initial = self.initial_state(init_key, targets)
        if folder is None:
            return ((int(state.step), state.variables) for state in states(initial, points))
        return self._stored(
            states, initial, folder, points, name, owner,
            with_peer=isinstance(targets, StatefulMethod) and targets.has_peer,
        )  # fmt: skip

    def train_many(
        self,
        targets: Sequence[TargetProvider | StatefulMethod],
        data: TrainingData | HostData,
        *,
        init_keys: Sequence[jax.Array],
        train_keys: Sequence[jax.Array],
        points: Sequence[int],
        folder: Path | None = None,
        names: Sequence[str],
        on_step: OnChunk | None = None,
        owner: Owner | None = None,
    ) -> Iterator[tuple[int, list[Variables]]]:
        """Train several networks together: `train` with targets, keys and a name for each.

        Yields (step, the variables of all) at every point; `folder` holds all their checkpoints,
        and `on_step` sees the mean loss. See `run_many` for the numbers and the speed.

        Raises:
          InputError: as `train`; other numbers of targets, keys and names; images that are
            streamed: such networks train one by one.
        """
        if any(isinstance(each, StatefulMethod) for each in targets):
            raise InputError("methods with variables of their own train one by one, not together")
        if isinstance(data, HostData):
            raise InputError("networks whose images are streamed train one by one, not together")

        def states(
            states: list[TrainState], stops: Sequence[int], pause: Pause | None = None
        ) -> Iterator[list[TrainState]]:
            return run_many(
                self.chunk, states, targets, data, train_keys, stops=stops,
                together=self.together, names=names, on_chunk=on_step, pause=pause,
            )  # fmt: skip

        for one, key in zip(targets, train_keys, strict=False):  # `run_many` counts them
            self._check(one, data, key)
        initial = [self.initial_state(key) for key in init_keys]
        if folder is None:
            return (
                (int(reached[0].step), [state.variables for state in reached])
                for reached in states(initial, points)
            )
        return self._stored(states, initial, folder, points, " and ".join(names), owner)

    def _check(
        self, targets: TargetProvider | StatefulMethod, data: TrainingData | HostData, key: Any
    ) -> None:
        """Raise InputError for targets or a key that this training cannot use."""
        check_key(key, name="train_key")
        if isinstance(targets, StatefulMethod):
            check_augmentation(targets, self.augmentation)
        labels = data.labels if isinstance(data, TrainingData) else data.split.labels
        check_tables(targets, examples=len(labels), augmentation=self.augmentation)
        check_views(targets, lambda: self.views(data, train_key=key))

    def _stored(
        self,
        train: Any,
        initial: Any,
        folder: Path,
        points: Sequence[int],
        name: str,
        owner: Owner | None,
        with_peer: bool = False,
    ) -> Iterator[tuple[int, Any]]:
        if jax.process_count() > 1:
            raise InputError("checkpoints are those of one process; leave the folder out")
        return resumable(
            train, initial, folder=folder, points=points, name=name,
            save_seconds=self.save_seconds, owner=owner, with_peer=with_peer,
        )  # fmt: skip

    def _batches(self, data: HostData, key: jax.Array) -> Any:
        """Return the stream that has the batches of `run` with this key."""
        examples = len(data.split)

        def order(epoch: int) -> np.ndarray:
            return np.asarray(order_of_epoch(key, jnp.int32(epoch), examples))

        return functools.partial(
            stream, data.split, batch_size=self.batch_size, order=order,
            process_index=jax.process_index(), process_count=jax.process_count(),
        )  # fmt: skip

    def replace(self, **changes: Any) -> "Trainer":
        """Return a trainer with other settings."""
        return dataclasses.replace(self, **changes)
