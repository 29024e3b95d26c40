"""A Flax NNX module as (apply_fn, variables)."""

import dataclasses
from typing import Any

from kdtheory.typing import ApplyFn, Variables


@dataclasses.dataclass(frozen=True)
class _Merged:
    """The function of an NNX module: equal for equal modules, whatever their values are."""

    graph: Any

    def __call__(self, variables: Variables, x: Any) -> Any:
        from flax import nnx

        return nnx.merge(self.graph, variables["params"], variables["others"])(x)


def from_nnx(module: Any) -> tuple[ApplyFn, Variables]:
    """Return (apply_fn, variables) of a Flax NNX module, as it would be evaluated.

    Args:
      module: called as module(x) -> logits (n, d). Set it to evaluation first if it has dropout
        or batch normalisation: `nnx.view(module, deterministic=True, use_running_average=True)`
        or `module.eval()`.

    Returns:
      apply_fn (variables, x) -> logits; {"params": the nnx.Param values, "others": all else}.

    >>> from flax import nnx
    >>> import jax.numpy as jnp
    >>> apply_fn, variables = from_nnx(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
    >>> apply_fn(variables, jnp.ones((4, 3))).shape
    (4, 2)
    """
    from flax import nnx

    parts: Any = nnx.split(module, nnx.Param, ...)
    graph, params, others = parts
    return _Merged(graph), {"params": params, "others": others}
