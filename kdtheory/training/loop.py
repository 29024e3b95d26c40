"""One pure, compiled training loop for teachers and students."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int, UInt8

from kdtheory.datasets import AugmentConfig, Split, augment, normalize
from kdtheory.errors import InputError, RunError
from kdtheory.typing import ArrayLike


class Examples(NamedTuple):
    """A batch as the model sees it: images normalised and augmented."""

    images: Float[ArrayLike, "n h w c"]
    labels: Int[ArrayLike, " n"]
    indices: Int[ArrayLike, " n"]
    """Positions in the training split."""


class TrainingData(NamedTuple):
    """A whole training split on the device, with its normalisation."""

    images: UInt8[ArrayLike, "n h w c"]
    labels: Int[ArrayLike, " n"]
    mean: Float[ArrayLike, " c"]
    std: Float[ArrayLike, " c"]


class TrainState(NamedTuple):
    """All that changes in training."""

    step: Int[ArrayLike, ""]
    """Number of updates made."""
    params: Any
    model_state: dict[str, Any]
    """The variables that are not parameters: {"batch_stats": ...} or {}."""
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """The model's variables, for `model.apply`."""
        return {"params": self.params, **self.model_state}


@runtime_checkable
class Supervision(Protocol):
    """What the loop asks of a target provider: a pytree with the loss of a batch."""

    def loss(self, logits: jax.Array, step: jax.Array, examples: Examples) -> jax.Array:
        """Return the unreduced loss (n,) of logits (n, d) at an update (counted from one)."""
        ...


def training_data(split: Split, *, mean: np.ndarray, std: np.ndarray) -> TrainingData:
    """Put a split on the device as uint8."""
    return TrainingData(
        jnp.asarray(split.images),
        jnp.asarray(split.labels),
        jnp.asarray(mean, jnp.float32),
        jnp.asarray(std, jnp.float32),
    )


def init_state(variables: dict[str, Any], optimizer: optax.GradientTransformation) -> TrainState:
    """Return the state before the first update.

    >>> state = init_state({"params": {"w": jnp.ones(2)}}, optax.sgd(0.1))
    >>> int(state.step), state.model_state
    (0, {})
    """
    model_state = {name: value for name, value in variables.items() if name != "params"}
    params = variables["params"]
    return TrainState(jnp.zeros((), jnp.int32), params, model_state, optimizer.init(params))


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """Return the number of full batches in an epoch; what is left over waits for another epoch.

    Raises:
      InputError: a batch larger than the training split.

    >>> steps_per_epoch(100, 32)
    3
    """
    if not 1 <= batch_size <= num_examples:
        raise InputError(
            f"batch size must lie between 1 and the {num_examples} training examples, "
            f"got {batch_size}"
        )
    return num_examples // batch_size


def default_steps_per_dispatch(epoch_steps: int, backend: str | None = None) -> int:
    """Return how many steps one compiled program makes: a divisor of an epoch's steps.

    On CPU the steps are unrolled, since XLA's CPU convolutions inside a loop lose their threads and
    their fast kernels (measured on two cores, ResNet-20, batch 128: 294 ms a step unrolled by 8,
    364 ms one by one, 17,000 ms in a scan); 4 keeps the compilation short. On accelerators a scan
    runs a whole epoch.

    >>> default_steps_per_dispatch(32, "cpu"), default_steps_per_dispatch(390, "gpu")
    (4, 390)
    """
    limit = 4 if (backend or jax.default_backend()) == "cpu" else epoch_steps
    return max(k for k in range(1, limit + 1) if epoch_steps % k == 0)


def batch_indices(
    key: jax.Array, step: Int[ArrayLike, ""], *, num_examples: int, batch_size: int
) -> jax.Array:
    """Return the examples of a step: a fresh permutation each epoch, a pure function of the step.

    Args:
      key: PRNG key of the whole training.
      step: number of updates made before, int32.
      num_examples: size of the training split.
      batch_size: examples a step.

    Returns:
      Positions (batch_size,), int32, without repetition inside an epoch.

    >>> batch_indices(jax.random.key(0), jnp.int32(0), num_examples=4, batch_size=2).shape
    (2,)
    """
    per_epoch = num_examples // batch_size
    epoch, position = jnp.divmod(step, jnp.int32(per_epoch))
    order = jax.random.permutation(jax.random.fold_in(key, epoch), num_examples)
    start = position * jnp.int32(batch_size)
    return jax.lax.dynamic_slice_in_dim(order, start, batch_size).astype(jnp.int32)


class TrainChunk(NamedTuple):
    """Several training steps in one compiled program."""

    length: int
    """How many."""
    advance: Callable[[TrainState, Any, TrainingData, jax.Array], tuple[TrainState, jax.Array]]
    """(state, supervision, data, key) -> (state `length` steps on, mean loss of each step)."""


def make_train_chunk(
    model: Any,
    optimizer: optax.GradientTransformation,
    *,
    batch_size: int,
    augmentation: AugmentConfig | None = None,
    length: int = 1,
    unroll: bool | None = None,
) -> TrainChunk:
    """Compile `length` training steps into one program.

    The supervision is an argument, not a constant: another teacher or another temperature of the
    same shapes runs the same compiled program. The state is donated.

    Args:
      model: a Flax module `(images, train) -> logits`.
      optimizer: an optax transformation.
      batch_size: examples a step.
      augmentation: random pad-crop and flip of each batch, or None.
      length: steps for each dispatch.
      unroll: straight-line code instead of a loop; default: on CPU, where loops slow convolutions.

    Returns:
      The compiled program, for `run`.
    """
    if unroll is None:
        unroll = jax.default_backend() == "cpu"

    def one_step(
        state: TrainState, supervision: Any, data: TrainingData, key: jax.Array
    ) -> tuple[TrainState, jax.Array]:
        order_key, augment_key = jax.random.split(key)
        indices = batch_indices(
            order_key, state.step, num_examples=data.images.shape[0], batch_size=batch_size
        )
        images = data.images[indices]
        if augmentation is not None:
            step_key = jax.random.fold_in(augment_key, state.step)
            images = augment(step_key, images, config=augmentation)
        images = normalize(images, data.mean, data.std)
        examples = Examples(images, data.labels[indices], indices)

        def objective(params: Any) -> tuple[jax.Array, dict[str, Any]]:
            logits, updated = model.apply(
                {"params": params, **state.model_state},
                images,
                train=True,
                mutable=list(state.model_state),
            )
            losses = supervision.loss(logits, state.step + 1, examples)
            return losses.mean(), dict(updated)

        (loss, model_state), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        # optax mixes integer step counts and floats: its own business, whatever JAX's strictness.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, model_state, opt_state), loss

    def advance(
        state: TrainState, supervision: Any, data: TrainingData, key: jax.Array
    ) -> tuple[TrainState, jax.Array]:
        if not unroll:
            return jax.lax.scan(
                lambda carry, _: one_step(carry, supervision, data, key), state, length=length
            )
        # Not `scan(unroll=True)`: a scan of one step still runs as a loop, in 56 ms where
        # straight-line code takes 5 (ResNet-8, 64 images of 8 x 8, two cores, JAX 0.10.2).
        losses = []
        for _ in range(length):
            state, loss = one_step(state, supervision, data, key)
            losses.append(loss)
        return state, jnp.stack(losses)

    return TrainChunk(length, jax.jit(advance, donate_argnums=0))


@jax.jit
def _copy(state: TrainState) -> TrainState:
    # One program: chunks are donated their state, and whoever holds another copy keeps it.
    return jax.tree.map(jnp.copy, state)


def run(
    chunk: TrainChunk,
    state: TrainState,
    supervision: Any,
    data: TrainingData,
    key: jax.Array,
    *,
    stops: Sequence[int],
    name: str = "training",
    on_chunk: Callable[[int, float], None] | None = None,
) -> Iterator[TrainState]:
    """Train and yield a copy of the state at each stop.

    A run that starts from a state it yielded earlier makes the same updates, bit for bit: batches
    and augmentation depend on the key and the step alone, and chunks begin at the same steps.

    Args:
      chunk: from `make_train_chunk`.
      state: where to start; copied, so the caller's stays valid.
      supervision: a target provider.
      data: the training split.
      key: PRNG key of the whole training.
      stops: increasing steps (numbers of updates) at which to yield, multiples of the chunk's
        length; stops before the state's step are passed over, one at it yields at once.
      name: what is being trained, for error messages.
      on_chunk: called with (step, loss) after each chunk.

    Raises:
      InputError: stops that are not multiples of the chunk's length.
      RunError: a loss that is not finite, with the step and the likely cause.
    """
    length = chunk.length
    uneven = [stop for stop in stops if stop % length]
    if uneven:
        raise InputError(f"stops must be multiples of {length} steps, got {uneven[0]}")
    state = _copy(state)
    step = int(state.step)
    for stop in stops:
        if stop < step:
            continue
        while step < stop:
            state, losses = chunk.advance(state, supervision, data, key)
            step += length
            values = np.asarray(losses)
            if not np.isfinite(values).all():
                first = step - length + 1 + int(np.argmin(np.isfinite(values)))
                raise RunError(
                    f"{name}: the loss is {values[first - step + length - 1]} at step {first}; "
                    "likely cause: a learning rate that is too high; what was stored before stays"
                )
            if on_chunk is not None:
                on_chunk(step, float(values[-1]))
        yield _copy(state)
