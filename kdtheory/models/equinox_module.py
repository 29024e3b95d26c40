"""An Equinox module as (apply_fn, variables)."""

import dataclasses
from typing import Any

import jax

from kdtheory.errors import InputError
from kdtheory.typing import ApplyFn, Variables


@dataclasses.dataclass(frozen=True)
class _Combined:
    """The function of an Equinox module of one example, applied to a batch."""

    structure: Any
    static: tuple[Any, ...]

    def __call__(self, variables: Variables, x: Any) -> Any:
        arrays = iter(variables["params"])
        leaves = [next(arrays) if leaf is None else leaf for leaf in self.static]
        return jax.vmap(jax.tree.unflatten(self.structure, leaves))(x)


def from_equinox(module: Any) -> tuple[ApplyFn, Variables]:
    """Return (apply_fn, variables) of an Equinox module, as it would be evaluated.

    Args:
      module: called as module(x) -> logits (d,) for one example, which is Equinox' way; apply
        `equinox.nn.inference_mode` first if it has dropout. Stateful layers (`eqx.nn.BatchNorm`)
        take a state: close over it in a function of your own.

    Returns:
      apply_fn (variables, x) -> logits (n, d) for a batch; {"params": its floating arrays}.

    Raises:
      InputError: a module without parameters.

    >>> import equinox as eqx, jax.numpy as jnp
    >>> apply_fn, variables = from_equinox(
    ...     eqx.nn.Linear(3, 2, key=jax.random.key(0))
    ... )
    >>> apply_fn(variables, jnp.ones((4, 3))).shape
    (4, 2)
    """
    leaves, structure = jax.tree.flatten(module)
    chosen = [
        isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating)
        for leaf in leaves
    ]
    if not any(chosen):
        raise InputError(f"{type(module).__name__} has no floating arrays to differentiate by")
    static = tuple(None if one else leaf for one, leaf in zip(chosen, leaves, strict=True))
    params = [leaf for one, leaf in zip(chosen, leaves, strict=True) if one]
    return _Combined(structure, static), {"params": params}
