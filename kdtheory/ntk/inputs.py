"""Checked inputs, and the JAX settings that every kernel is computed under."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.errors import InputError, unknown_name
from kdtheory.ntk.differentiated import as_array
from kdtheory.typing import Variables

_DTYPES = ("float32", "float64")

#: How accelerators multiply float32 matrices; CPUs always do so in float32.
PRECISIONS = ("highest", "tensorfloat32", "bfloat16")


def _name(dtype: Any) -> str:
    try:
        return str(jnp.dtype(dtype).name)
    except TypeError:
        return str(dtype)


@contextlib.contextmanager
def settings(
    dtype: Any, variables: Variables, *, precision: str = "highest"
) -> Iterator[np.dtype[Any]]:
    """Check the variables, and set JAX's precision and promotion for one computation.

    Args:
      dtype: "float32", "float64", or None for that of the parameters (at least float32).
      variables: must hold real parameters under "params".
      precision: of products on accelerators, one of `PRECISIONS`.

    Yields:
      The dtype to compute in; float64 is enabled inside where that is it.

    Raises:
      InputError: another dtype or precision, or variables without real parameters.

    >>> with settings("float64", {"params": {"w": np.ones(2)}}) as dtype:
    ...     jnp.ones(2, dtype).dtype
    dtype('float64')
    """
    params = variables.get("params")
    leaves = [] if params is None else jax.tree.leaves(params)
    if not leaves:
        raise InputError(
            f'variables must hold parameters under "params"; got {sorted(variables) or "nothing"}'
        )
    kinds = {jnp.result_type(leaf) for leaf in leaves}
    if not all(jnp.issubdtype(kind, jnp.floating) for kind in kinds):
        raise InputError(f"parameters must be real floating point; got {sorted(map(str, kinds))}")
    if dtype is None:
        dtype = "float64" if np.dtype(np.float64) in kinds else "float32"
    if _name(dtype) not in _DTYPES:
        raise unknown_name("dtype", _name(dtype), _DTYPES)
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    result_dtype = np.dtype(_name(dtype))
    with (
        jax.enable_x64(result_dtype == np.float64),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        # GPUs and TPUs would otherwise multiply float32 in a lower precision.
        jax.default_matmul_precision(precision),
    ):
        yield result_dtype


def cast(variables: Variables, dtype: np.dtype[Any]) -> Variables:
    """Return the variables as NumPy arrays of dtypes that JAX has, floating ones of the given.

    >>> cast({"params": {"w": np.ones(2, np.float64)}}, np.dtype("float32"))["params"]["w"].dtype
    dtype('float32')
    """

    def one(leaf: Any) -> Any:
        leaf = as_array(leaf)
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf.astype(dtype)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        return leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype))

    return dict(jax.tree.map(one, dict(variables)))


def as_inputs(name: str, x: Any, dtype: np.dtype[Any]) -> np.ndarray:
    """Return inputs as a NumPy array, floating ones of the given dtype.

    Raises:
      InputError: no example, or entries that are not finite.

    >>> as_inputs("x", np.arange(2.0), np.dtype("float32"))
    array([0., 1.], dtype=float32)
    """
    if isinstance(x, dict | tuple | list):
        raise InputError(
            f"{name} must be one array with the examples along axis 0; got a {type(x).__name__} "
            "(put its parts into one array, and let apply_fn take it apart)"
        )
    x = np.asarray(x)
    if x.dtype.kind not in "biuf" and not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"{name} must be real numbers; got {x.dtype}")
    if x.ndim == 0 or x.shape[0] == 0:
        raise InputError(f"{name} must have at least one example; got shape {x.shape}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(jax.dtypes.canonicalize_dtype(x.dtype))
    if not np.isfinite(x).all():
        raise InputError(f"{name} has entries that are not finite")
    return x.astype(dtype)
