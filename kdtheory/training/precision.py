"""Half-precision arithmetic in models that know nothing of it; parameters stay float32."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from kdtheory.errors import unknown_name
from kdtheory.typing import ApplyFn, ArrayLike, Variables

ComputeDtype = Literal["float32", "bfloat16"]


def _cast(tree: Any, dtype: Any) -> Any:
    def cast(leaf: ArrayLike) -> ArrayLike:
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


@dataclass(frozen=True)
class InPrecision:
    """A model's apply function whose convolutions and products are made in `dtype`.

    Equal for equal arguments, so that compiled programs which hold one are found again.
    """

    apply_fn: ApplyFn
    dtype: str

    def __call__(self, variables: Variables, images: jax.Array, **arguments: Any) -> Any:
        """Return what the model returns, its logits in float32."""
        working = jnp.dtype(self.dtype)
        # BatchNorm's statistics are not cast: Flax computes and applies them in float32.
        lowered = {**variables, "params": _cast(variables["params"], working)}
        with jax.numpy_dtype_promotion("standard"):
            result = self.apply_fn(lowered, _cast(images, working), **arguments)
        if isinstance(result, tuple):  # (logits, updated variables), with `mutable`
            logits, updated = result
            return logits.astype(jnp.float32), updated
        return result.astype(jnp.float32)


def in_precision(apply_fn: ApplyFn, dtype: str) -> ApplyFn:
    """Return an apply function that computes in a precision and returns float32 logits.

    The parameters that it is given stay float32 and are rounded where they are used, as is usual
    for mixed precision; BatchNorm's statistics stay float32. "float32" returns the function itself.

    Args:
      apply_fn: a Flax model's `apply`, of arrays and parameters in float32.
      dtype: "float32" or "bfloat16".

    Raises:
      InputError: another dtype.

    >>> apply = in_precision(lambda variables, x: x @ variables["params"], "bfloat16")
    >>> float(apply({"params": jnp.float32([1 / 3])}, jnp.ones((1, 1)))[0])
    0.333984375
    """
    if dtype not in get_args(ComputeDtype):
        raise unknown_name("compute_dtype", dtype, get_args(ComputeDtype))
    return apply_fn if dtype == "float32" else InPrecision(apply_fn, dtype)
