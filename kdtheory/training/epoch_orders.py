"""The order in which an epoch visits the examples, made once an epoch for all of its programs."""

import functools

import jax
import jax.numpy as jnp

from kdtheory.training.batches import epoch_order, steps_per_epoch
from kdtheory.training.chunk import TrainChunk
from kdtheory.training.sharding import replicate


@functools.partial(jax.jit, static_argnums=2)
def order_of_epoch(key: jax.Array, epoch: jax.Array, num_examples: int) -> jax.Array:
    """Return the order (num_examples,), int32, of an epoch of the training that has this key."""
    return epoch_order(jax.random.split(key)[0], epoch, num_examples)


@functools.partial(jax.jit, static_argnums=2)
def _orders(keys: jax.Array, epoch: jax.Array, num_examples: int) -> jax.Array:
    return jax.vmap(order_of_epoch, in_axes=(0, None, None))(keys, epoch, num_examples)


class EpochOrders:
    """Gives each program the order of its epoch, which is the one that it would make itself.

    A permutation sorts all examples: of 50,000 it takes 7 ms on two cores, as long as a step of a
    small network. Programs of whole epochs, or that lie in two of them, make their own.

    Args:
      chunk: the program.
      key: of the training; or (s,) keys of several.
      num_examples: of the training split.
    """

    def __init__(self, chunk: TrainChunk, key: jax.Array, num_examples: int) -> None:
        self._key, self._num_examples, self._mesh = key, num_examples, chunk.mesh
        self._epoch_steps = steps_per_epoch(num_examples, chunk.batch_size)
        self._useful = self._epoch_steps > chunk.length and self._epoch_steps % chunk.length == 0
        self._epoch: int | None = None
        self._order: jax.Array | None = None

    def at(self, step: int) -> jax.Array | None:
        """Return the order (num_examples,), or (s, num_examples), for the program that begins here.

        None where the program should make its own.
        """
        if not self._useful:
            return None
        epoch = step // self._epoch_steps
        if epoch != self._epoch:
            make = _orders if self._key.ndim else order_of_epoch
            order = make(self._key, jnp.int32(epoch), self._num_examples)
            self._order = order if self._mesh is None else replicate(order, self._mesh)
            self._epoch = epoch
        return self._order
