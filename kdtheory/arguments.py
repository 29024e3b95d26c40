"""Arguments that every layer takes: counts, and PRNG keys."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.errors import InputError


def is_number(value: Any) -> bool:
    """Return whether a value is a real number, Python's or NumPy's, and no truth value.

    >>> is_number(np.float32(2)), is_number("2"), is_number(True)
    (True, False, False)
    """
    numbers = int | float | np.integer | np.floating
    return isinstance(value, numbers) and not isinstance(value, bool)


def check_count(name: str, value: Any, *, least: int = 1) -> int:
    """Return a count as Python's integer.

    Args:
      name: the argument's.
      value: what was given for it.
      least: the smallest count that is allowed.

    Raises:
      InputError: no integer, or one below `least`.

    >>> check_count("epochs", np.int64(3))
    3
    >>> check_count("epochs", 1.5)
    Traceback (most recent call last):
    kdtheory.errors.InputError: epochs must be an integer of at least 1, got 1.5
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise InputError(f"{name} must be an integer of at least {least}, got {value!r}")
    return int(value)


def check_key(key: Any, *, name: str = "key") -> Any:
    """Return a PRNG key, of either of JAX's kinds, or raise InputError.

    >>> check_key(0)
    Traceback (most recent call last):
    kdtheory.errors.InputError: key must be one PRNG key, jax.random.key(0), got 0
    """
    if isinstance(key, jax.Array):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            if key.ndim == 0:
                return key
        elif key.dtype == jnp.uint32 and key.shape == jax.random.PRNGKey(0).shape:
            return key
        got = f"{key.dtype} of shape {key.shape}"
    else:
        got = repr(key) if isinstance(key, int | float | str | None) else type(key).__name__
    seed = key if isinstance(key, int) and not isinstance(key, bool) else 0
    raise InputError(f"{name} must be one PRNG key, jax.random.key({seed}), got {got}")
