"""Arguments that every layer takes: counts, PRNG keys, and arrays of any framework."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.errors import InputError, KernelError
from kdtheory.typing import AnyArray


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


def as_array(
    name: str, values: AnyArray, error: type[InputError] | type[KernelError] = InputError
) -> np.ndarray:
    """Return any array that NumPy or DLPack takes, or nested lists, as a NumPy array of numbers.

    A PyTorch tensor is taken as it is, whether it needs a gradient or not. Real and complex
    numbers and truth values pass; the dtype is kept.

    Args:
      name: what it is, for the message.
      values: the array.
      error: to raise.

    Raises:
      InputError, KernelError: rows of different length, or anything but numbers.

    >>> as_array("targets", [[1, 2], [3, 4]]).shape
    (2, 2)
    >>> as_array("targets", ["one"])
    Traceback (most recent call last):
    kdtheory.errors.InputError: targets must be an array of numbers, got <U3
    """
    if not isinstance(values, jax.Array | np.ndarray) and hasattr(values, "detach"):
        values = values.detach()  # PyTorch gives no tensor away that a gradient may reach
    try:
        array = np.asarray(values)
    except (TypeError, RuntimeError, BufferError) as problem:
        # Of another device, or a dtype that NumPy alone does not know (bfloat16).
        array = _through_dlpack(name, values, error, problem)
    except ValueError:
        raise error(f"{name} must be an array of numbers, got rows of different length") from None
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == np.bool_):
        raise error(f"{name} must be an array of numbers, got {array.dtype}")
    return array


def _through_dlpack(
    name: str, values: Any, error: type[InputError] | type[KernelError], problem: Exception
) -> np.ndarray:
    try:
        return np.asarray(jax.dlpack.from_dlpack(values))
    except Exception as second:  # whatever the other framework raises
        reason = str(problem).split("\n")[0]
        raise error(
            f"{name} cannot be read as an array ({reason}); give it as a NumPy array, such as "
            "tensor.detach().cpu().numpy()"
        ) from second
