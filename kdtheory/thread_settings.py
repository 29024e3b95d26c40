"""JAX's settings of one thread, in another."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax


def same_settings() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Return what sets the JAX settings of this thread in another: they are a thread's own.

    >>> import jax.numpy as jnp
    >>> with jax.enable_x64(True):
    ...     same = same_settings()
    >>> with same():
    ...     jnp.ones(1).dtype
    dtype('float64')
    """
    config: Any = jax.config
    now = (
        config.jax_enable_x64,
        config.jax_numpy_dtype_promotion,
        config.jax_numpy_rank_promotion,
        config.jax_default_matmul_precision,
        config.jax_default_device,
    )

    @contextlib.contextmanager
    def same() -> Iterator[None]:
        x64, dtypes, ranks, precision, device = now
        with (
            jax.enable_x64(x64),
            jax.numpy_dtype_promotion(dtypes),
            jax.numpy_rank_promotion(ranks),
            jax.default_matmul_precision(precision),
            jax.default_device(device),
        ):
            yield

    return same
