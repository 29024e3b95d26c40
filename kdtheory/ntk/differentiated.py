"""Any pytree of variables, and what in it is differentiated.

Everything behind this file works on {"params": ..., ...} and differentiates by "params"; what a
user chooses otherwise is brought into that form, with a function that puts it back together.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

from kdtheory.errors import InputError
from kdtheory.typing import ApplyFn, Variables

#: A path such as "params" or "params/Dense_0", or (path, leaf) -> whether to differentiate by it.
ParamsFilter: TypeAlias = str | Callable[[str, Any], bool]

#: Where users of a framework get (apply_fn, variables) from.
_ADAPTERS = {
    "flax.nnx": "kdtheory.models.from_nnx(model)",
    "equinox": "kdtheory.models.from_equinox(model)",
}


def differentiated(
    apply_fn: ApplyFn, variables: Any, params: ParamsFilter = "params"
) -> tuple[ApplyFn, Variables]:
    """Return (apply_fn, variables) in the form {"params": ..., ...}.

    Args:
      apply_fn: (variables, x) -> logits.
      variables: any pytree of arrays and numbers.
      params: what is differentiated: the path of a leaf or of a subtree, or a filter.

    Raises:
      InputError: a module in place of a function, variables that are none, or nothing to
        differentiate by.

    >>> function, found = differentiated(lambda w, x: x @ w[0] + w[1], [np.eye(2), 3.0], "0")
    >>> sorted(found["params"]), sorted(found["others"])
    (['0'], ['1'])
    >>> function(found, np.ones((1, 2))).tolist()
    [[4.0, 4.0]]
    """
    for value in (apply_fn, variables):
        for kind in type(value).__mro__:
            for package, adapter in _ADAPTERS.items():
                if kind.__module__.startswith(package) and kind.__name__ == "Module":
                    raise InputError(
                        f"{type(value).__name__} is a module of {package}: pass "
                        f"apply_fn, variables = {adapter}"
                    )
    if not callable(apply_fn):
        raise InputError(
            f"apply_fn must be a function (variables, x) -> logits; got {type(apply_fn).__name__}"
        )
    if not isinstance(variables, Mapping) and hasattr(variables, "params"):
        raise InputError(
            f'variables is a {type(variables).__name__}: pass {{"params": state.params}}, with '
            "the model's other collections beside it"
        )
    paths, structure = jax.tree_util.tree_flatten_with_path(variables)
    names = [path_name(path) for path, _ in paths]
    for name, (_, leaf) in zip(names, paths, strict=True):
        if not hasattr(leaf, "dtype") and not isinstance(leaf, bool | int | float):
            raise InputError(
                f"variables must be arrays or numbers; {name} is a {type(leaf).__name__}"
            )
    if params == "params" and isinstance(variables, Mapping) and "params" in variables:
        return apply_fn, variables
    if isinstance(params, str):
        chosen = [name == params or name.startswith(f"{params}/") for name in names]
    else:
        chosen = [bool(params(name, leaf)) for name, (_, leaf) in zip(names, paths, strict=True)]
    if not any(chosen):
        what = f'under "{params}"' if isinstance(params, str) else "that the filter takes"
        top = variables if isinstance(variables, Mapping) else (n.split("/")[0] for n in names)
        known = ", ".join(sorted(set(map(str, top)))) or "nothing"
        hint = '; parameters alone go in as {"params": ...}' if params == "params" else ""
        raise InputError(f"variables must hold parameters {what}; got {known}{hint}")
    split: dict[str, dict[str, Any]] = {"params": {}, "others": {}}
    for name, one, (_, leaf) in zip(names, chosen, paths, strict=True):
        split["params" if one else "others"][name] = leaf
    return _Together(apply_fn, structure, tuple(names), tuple(chosen)), split


def path_name(path: Any) -> str:
    """Return a leaf's path as a person writes it.

    >>> path_name(jax.tree_util.tree_leaves_with_path({"a": [1, 2]})[1][0])
    'a/1'
    """
    parts = (getattr(key, "key", getattr(key, "idx", getattr(key, "name", key))) for key in path)
    return "/".join(str(part) for part in parts)


@dataclasses.dataclass(frozen=True)
class _Together:
    """A function of variables taken apart, which puts them together first."""

    apply_fn: ApplyFn
    structure: Any
    names: tuple[str, ...]
    chosen: tuple[bool, ...]

    def __call__(self, variables: Variables, x: Any) -> Any:
        leaves = [
            variables["params" if one else "others"][name]
            for name, one in zip(self.names, self.chosen, strict=True)
        ]
        return self.apply_fn(jax.tree.unflatten(self.structure, leaves), x)


def as_array(leaf: Any) -> Any:
    """Return a leaf as a NumPy array; PRNG keys stay as they are.

    >>> as_array(2.0)
    array(2.)
    """
    if hasattr(leaf, "dtype") and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    return np.asarray(leaf)
