"""An Equinox module as a linen module, which can be trained like any other."""

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kdtheory.errors import InputError


class EquinoxStudent(nn.Module):
    """The linen module of an Equinox one: its floating arrays are the parameters."""

    make: Callable[..., Any]
    """The module's class, or a function: (*arguments, key=key) -> module."""
    arguments: tuple[Any, ...] = ()
    """What can be hashed: compiled programs are found by it."""

    def _parts(self, key: jax.Array) -> dict[str, jax.Array]:
        return dict(_arrays(self.make(*self.arguments, key=key)))

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Return the logits (n, d) of images (n, h, w, c), each given to the module alone."""
        import equinox

        module = equinox.filter_eval_shape(
            lambda: self.make(*self.arguments, key=jax.random.key(0))
        )
        arrays = self.param("module", self._parts)
        names = [name for name, _ in _arrays(module)]
        if not names:
            raise InputError(f"{type(module).__name__} has no floating arrays to train")
        leaves, structure = jax.tree_util.tree_flatten_with_path(module)
        filled = [arrays.get(jax.tree_util.keystr(p), leaf) for p, leaf in leaves]
        if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in filled):
            raise InputError(
                f"{type(module).__name__} has arrays that are no parameters (of integers, or a "
                "state): make them inside of its __call__"
            )
        module = jax.tree.unflatten(structure, filled)
        if not train:
            return jax.vmap(equinox.nn.inference_mode(module))(x)
        if "key" not in inspect.signature(type(module).__call__).parameters:
            return jax.vmap(module)(x)
        # An initialisation without dropout's key is of the parameters alone.
        key = self.make_rng("dropout")
        return jax.vmap(lambda one, k: module(one, key=k))(x, jax.random.split(key, len(x)))


def _arrays(module: Any) -> list[tuple[str, Any]]:
    """Return a module's floating arrays by their places, such as ".layers[0].weight"."""
    return [
        (jax.tree_util.keystr(path), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(module)
        if isinstance(leaf, jax.Array | jax.ShapeDtypeStruct)
        and jnp.issubdtype(leaf.dtype, jnp.floating)
    ]


def equinox_to_linen(make: Callable[..., Any], *arguments: Any) -> nn.Module:
    """Return a linen module of an Equinox one, for `models.register`, `fit` and the command line.

    Args:
      make: the class, or a function, called as `make(*arguments, key=key)`. What it makes is called
        as module(x) -> logits (d,) for one image (h, w, c); in training as module(x, key=key)
        where it takes a key (dropout), and otherwise in inference mode.
      arguments: such as sizes; they must be hashable.

    Raises:
      InputError: the package is not installed.

    >>> import equinox as eqx
    >>> student = equinox_to_linen(eqx.nn.Linear, 3, 2)
    >>> variables = student.init(jax.random.key(0), jnp.ones((1, 3)))
    >>> sorted(variables["params"]["module"]), student.apply(variables, jnp.ones((4, 3))).shape
    (['.bias', '.weight'], (4, 2))
    """
    try:
        import equinox  # noqa: F401
    except ImportError as error:
        raise InputError("Equinox students need pip install 'kdtheory[equinox]'") from error
    return EquinoxStudent(make, tuple(arguments))
