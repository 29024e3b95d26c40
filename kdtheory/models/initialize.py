"""A model's initial variables, and their count."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kdtheory.arguments import check_key
from kdtheory.errors import InputError
from kdtheory.memory import format_bytes, total
from kdtheory.models.requirements import first_line, require_linen
from kdtheory.typing import Variables


def init(model: Any, key: jax.Array, image_shape: tuple[int, ...]) -> dict[str, Any]:
    """Initialise a model's variables for images of one shape.

    Args:
      model: a Flax module that maps (n, h, w, c) to logits.
      key: PRNG key.
      image_shape: (h, w, c).

    Returns:
      {"params": ...} and, for models with BatchNorm, {"batch_stats": ...}; float32.

    Raises:
      InputError: no Flax linen module, one that takes more than images, or no PRNG key.

    >>> from kdtheory.models import create
    >>> variables = init(create("mlp4x1", 2), jax.random.key(0), (2, 2, 1))
    >>> num_params(variables)
    30
    """
    require_linen(model)
    try:
        return _init(model, check_key(key), image_shape)
    except TypeError as error:
        raise _no_model(model, error) from error
    except OverflowError as error:
        raise _too_large(model, "more numbers than can be counted") from error


def _check_memory(model: nn.Module, variables: Variables) -> None:
    needed = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(variables))
    if needed > total():
        raise _too_large(model, format_bytes(needed))


def _too_large(model: nn.Module, size: str) -> InputError:
    return InputError(
        f"the variables of this {type(model).__name__} are {size}, the device has "
        f"{format_bytes(total())}; choose a narrower or shallower one"
    )


def _no_model(model: nn.Module, error: TypeError) -> InputError:
    return InputError(
        f"{type(model).__name__} cannot be called as model(images), which it is in inference mode: "
        f"{first_line(error)}"
    )


# One compiled program instead of hundreds of small dispatches for a deep model.
@functools.partial(jax.jit, static_argnums=(0, 2))
def _init(model: nn.Module, key: jax.Array, image_shape: tuple[int, ...]) -> dict[str, Any]:
    variables = dict(model.init(key, jnp.zeros((1, *image_shape))))
    _check_memory(model, variables)  # while it is traced: nothing is computed yet
    return variables


def abstract_variables(model: Any, image_shape: tuple[int, ...]) -> Variables:
    """Return the shapes and dtypes of a model's variables, without computing or compiling anything.

    Args:
      model: a Flax module that maps (n, h, w, c) to logits.
      image_shape: (h, w, c).

    Returns:
      As `init`, with jax.ShapeDtypeStruct in the arrays' places.

    >>> from kdtheory.models import create
    >>> num_params(abstract_variables(create("resnet56", 100), (32, 32, 3)))
    861620
    """
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    key = jax.eval_shape(jax.random.key, 0)
    require_linen(model)
    try:
        variables = dict(jax.eval_shape(model.init, key, images))
    except TypeError as error:
        raise _no_model(model, error) from error
    except OverflowError as error:
        raise _too_large(model, "more numbers than can be counted") from error
    _check_memory(model, variables)
    return variables


def num_params(variables: Variables) -> int:
    """Return the number of parameters P (batch statistics are not parameters).

    >>> num_params({"params": {"w": jnp.zeros((2, 3))}, "batch_stats": {"m": jnp.zeros(3)}})
    6
    """
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
