"""Max pooling whose derivatives are fast on every backend."""

import functools
import itertools

import jax
import jax.numpy as jnp

from kdtheory.errors import InputError


def max_pool(x: jax.Array, window: int = 2) -> jax.Array:
    """Return the maximum of each window x window patch; patches do not overlap.

    The values are those of `flax.linen.max_pool(x, (window, window), (window, window))`: rows and
    columns left over at the end are dropped. Its derivative is made of elementwise operations;
    that of `max_pool` in Flax is XLA's select-and-scatter, 17 times slower on CPU (measured on one
    core: 5.2 ms against 0.3 ms for 16 x 28 x 28 x 48). Where entries of a patch are equal, the
    derivative is shared between them instead of given to the first.

    Args:
      x: (n, h, w, c).
      window: side of a patch, at most h and w.

    Returns:
      (n, h // window, w // window, c), of the dtype of x.

    Raises:
      InputError: a window that does not fit.

    >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    Array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """
    height, width = x.shape[1] // window, x.shape[2] // window
    if not height or not width:
        raise InputError(f"a window of {window} does not fit in {x.shape[1]} x {x.shape[2]}")
    x = x[:, : height * window, : width * window]
    corners = itertools.product(range(window), repeat=2)
    return functools.reduce(jnp.maximum, [x[:, i::window, j::window] for i, j in corners])
