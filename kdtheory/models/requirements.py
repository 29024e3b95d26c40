"""What a model must be: a linen module, images (n, h, w, c) to logits (n, d), with `train`."""

import inspect
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from kdtheory.errors import InputError
from kdtheory.typing import Variables

#: Other libraries' words for the argument `train`.
_OTHER_WORDS = ("training", "is_training", "deterministic", "use_running_average")


def require_linen(model: Any) -> None:
    """Raise InputError unless a model is a Flax (linen) module.

    >>> require_linen("resnet20")
    Traceback (most recent call last):
    kdtheory.errors.InputError: a model must be a Flax linen module, got str; ...
    """
    if isinstance(model, nn.Module):
        try:
            hash(model)
        except TypeError as error:
            raise InputError(
                f"{type(model).__name__} has an attribute that cannot be hashed, such as a list or "
                "an array: give tuples and numbers, since compiled programs are found by it"
            ) from error
        return
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise InputError(
            f"a model must be a Flax linen module, got the class {model.__name__}: make one, such "
            f"as {model.__name__}()"
        )
    if isinstance(model, str):
        remedy = "models.create(name, num_outputs) makes one"
    elif any(kind.__module__.startswith("flax.nnx") for kind in type(model).__mro__):
        remedy = (
            "an NNX module's class is wrapped by flax.nnx.bridge.to_linen(Class, ...), and its "
            "__call__ must take `train`"
        )
    else:
        remedy = "it maps images (n, h, w, c) to logits (n, d)"
    raise InputError(f"a model must be a Flax linen module, got {type(model).__name__}; {remedy}")


def require_train_argument(model: nn.Module) -> None:
    """Raise InputError unless a module's `__call__` takes `train`, and has a default for it.

    >>> require_train_argument(nn.Dense(3))
    Traceback (most recent call last):
    kdtheory.errors.InputError: Dense has no argument `train`: write __call__(self, x, train=False)
    """
    parameters = inspect.signature(type(model).__call__).parameters
    name = type(model).__name__
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    other = next((word for word in _OTHER_WORDS if word in parameters), None)
    if "train" not in parameters:
        hint = (
            ""
            if other is None
            else f", and {other}="
            + ("not train" if other in ("deterministic", "use_running_average") else "train")
            + " inside of it"
        )
        raise InputError(
            f"{name} has no argument `train`: write __call__(self, x, train=False){hint}"
        )
    if parameters["train"].default is inspect.Parameter.empty:
        raise InputError(f"{name}'s argument `train` needs the default False: train=False")


def check_model(
    model: Any, variables: Variables, image_shape: tuple[int, int, int], num_outputs: int
) -> None:
    """Raise InputError unless a model can be trained on a task, by abstract evaluation alone.

    Args:
      model: what should be a Flax module.
      variables: its variables, or their shapes (`abstract_variables`).
      image_shape: (h, w, c) of the task's images.
      num_outputs: the task's number of logits d; 1 for two classes.

    >>> from kdtheory.models import abstract_variables, create
    >>> mlp = create("mlp4x1", 7)
    >>> check_model(mlp, abstract_variables(mlp, (2, 2, 1)), (2, 2, 1), 10)
    Traceback (most recent call last):
    kdtheory.errors.InputError: MLP returns logits (n, 7) and the task has 10 outputs
    """
    require_linen(model)
    require_train_argument(model)
    images = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    key = jax.eval_shape(jax.random.key, 0)
    mutable = [name for name in variables if name != "params"]

    def train(variables: Variables, images: jax.Array, key: jax.Array) -> Any:
        return model.apply(variables, images, train=True, mutable=mutable, rngs={"dropout": key})[0]

    name = type(model).__name__
    try:
        logits = jax.eval_shape(train, variables, images, key)
    except TypeError as error:
        raise InputError(
            f"{name} cannot be called as model(images, train=True): {first_line(error)}"
        ) from error
    if not hasattr(logits, "shape"):
        kind = (
            f"{type(logits).__name__} of {len(logits)}"
            if hasattr(logits, "__len__")
            else type(logits).__name__
        )
        raise InputError(
            f"{name} must return logits (n, d) alone, got a {kind}; wrap it in a module that "
            "returns the logits"
        )
    if len(logits.shape) != 2 or logits.shape[0] != 2:
        shape = ", ".join(("n", *map(str, logits.shape[1:])))
        raise InputError(f"{name} must return logits (n, d), got ({shape})")
    if logits.shape[1] != num_outputs:
        what = "; two classes have one logit" if num_outputs == 1 else ""
        raise InputError(
            f"{name} returns logits (n, {logits.shape[1]}) and the task has {num_outputs} "
            f"outputs{what}"
        )


def first_line(error: Exception) -> str:
    """Return an error's first line, or its kind where it has none.

    >>> first_line(ValueError("this\\nand that"))
    'this'
    """
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
