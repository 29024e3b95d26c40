"""Which examples an update sees: a pure function of the key and the step."""

import jax
import jax.numpy as jnp
from jaxtyping import Int

from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike


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


def epoch_order(key: jax.Array, epoch: Int[ArrayLike, ""], num_examples: int) -> jax.Array:
    """Return the order (num_examples,), int32, in which an epoch visits the examples.

    >>> sorted(epoch_order(jax.random.key(0), jnp.int32(0), 3).tolist())
    [0, 1, 2]
    """
    order = jax.random.permutation(jax.random.fold_in(key, epoch), num_examples)
    return order.astype(jnp.int32)


def step_key(key: jax.Array, step: Int[ArrayLike, ""]) -> jax.Array:
    """Return the key of a step's augmentation and dropout, in the training that has this key."""
    return jax.random.fold_in(jax.random.split(key)[1], step)


def batch_indices(
    key: jax.Array,
    step: Int[ArrayLike, ""],
    *,
    num_examples: int,
    batch_size: int,
    order: jax.Array | None = None,
) -> jax.Array:
    """Return the examples of a step: a fresh permutation each epoch, a pure function of the step.

    Args:
      key: PRNG key of the whole training.
      step: number of updates made before, int32.
      num_examples: size of the training split.
      batch_size: examples a step.
      order: the epoch's `epoch_order` where the caller has it; it costs a sort of all examples.

    Returns:
      Positions (batch_size,), int32, without repetition inside an epoch.

    >>> batch_indices(jax.random.key(0), jnp.int32(0), num_examples=4, batch_size=2).shape
    (2,)
    """
    per_epoch = num_examples // batch_size
    epoch, position = jnp.divmod(step, jnp.int32(per_epoch))
    if order is None:
        order = epoch_order(key, epoch, num_examples)
    start = position * jnp.int32(batch_size)
    return jax.lax.dynamic_slice_in_dim(order, start, batch_size)
