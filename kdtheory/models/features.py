"""A network's features: what its last linear layer is given."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from kdtheory.errors import InputError
from kdtheory.models.initialize import abstract_variables


class FeatureLayer(NamedTuple):
    """The layer whose input is a network's features."""

    path: tuple[str, ...]
    """Its name inside of the network."""
    width: int
    """Numbers of each example's features."""


def _width(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape[1:]:
        size *= length
    return size


def feature_layer(module: nn.Module, image_shape: tuple[int, int, int]) -> FeatureLayer:
    """Return the layer whose input is a network's features, by abstract evaluation alone.

    That is the last linear layer (`flax.linen.Dense`) that the network calls, or the one that it
    names itself in an attribute `feature_layer`, such as "Dense_1" or "head/Dense_0".

    Args:
      module: images (n, h, w, c) -> logits (n, d).
      image_shape: (h, w, c).

    Raises:
      InputError: there is no such layer.

    >>> from kdtheory.models import create
    >>> feature_layer(create("resnet8", 10), (16, 16, 3))
    FeatureLayer(path=('Dense_0',), width=64)
    """
    named = getattr(module, "feature_layer", None)
    wanted = None if named is None else tuple(str(named).split("/"))
    found: list[FeatureLayer] = []

    def intercept(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        path = context.module.path
        fits = isinstance(context.module, nn.Dense) if wanted is None else path == wanted
        if fits and context.method_name == "__call__" and args:
            found.append(FeatureLayer(path, _width(jnp.shape(args[0]))))
        return call(*args, **kwargs)

    with nn.intercept_methods(intercept):
        abstract_variables(module, image_shape)
    if not found:
        what = "no linear layer (flax.linen.Dense)" if named is None else f"no layer {named!r}"
        raise InputError(
            f"it needs the networks' features, and {type(module).__name__} has {what}; name the "
            "layer whose input they are in an attribute feature_layer"
        )
    return found[-1]


@contextlib.contextmanager
def captured_features(layer: FeatureLayer) -> Iterator[list[jax.Array]]:
    """Let a list have, for each call of the network inside of the context, its features (n, width).

    They are float32 if the network computes in less, and gradients pass through them.

    >>> from kdtheory.models import create, init
    >>> mlp = create("mlp4x1", 3)
    >>> variables = init(mlp, jax.random.key(0), (2, 2, 1))
    >>> with captured_features(feature_layer(mlp, (2, 2, 1))) as features:
    ...     logits = mlp.apply(variables, jnp.ones((5, 2, 2, 1)))
    >>> features[0].shape
    (5, 4)
    """
    captured: list[jax.Array] = []

    def intercept(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if context.module.path == layer.path and context.method_name == "__call__":
            inputs = jnp.asarray(args[0])
            dtype = inputs.dtype if inputs.dtype.itemsize >= 4 else jnp.float32
            captured.append(inputs.reshape(inputs.shape[0], -1).astype(dtype))
        return call(*args, **kwargs)

    with nn.intercept_methods(intercept):
        yield captured
