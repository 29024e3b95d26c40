"""Refusing models whose layers make the examples of a batch depend on each other."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn

from kdtheory.errors import InputError


@contextlib.contextmanager
def no_batch_statistics() -> Iterator[None]:
    """Refuse, while a Flax model is traced inside, every BatchNorm layer in training mode.

    What is no Flax module goes unseen, and so does what an inner `jax.jit` has traced before.

    Raises:
      InputError: a BatchNorm layer uses its batch's statistics; the message names it.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> model, x = nn.BatchNorm(use_running_average=False), jnp.ones((2, 3))
    >>> with no_batch_statistics():
    ...     model.init(jax.random.key(0), x)
    Traceback (most recent call last):
    kdtheory.errors.InputError: BatchNorm must be in inference mode (use_running_average=True): ...
    """

    def interceptor(
        next_fun: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        module = context.module
        if isinstance(module, nn.BatchNorm) and context.method_name == "__call__":
            running = nn.merge_param(
                "use_running_average",
                module.use_running_average,
                kwargs.get("use_running_average", args[1] if len(args) > 1 else None),
            )
            if not running:
                raise InputError(
                    f"{'/'.join(module.path) or type(module).__name__} must be in inference mode "
                    "(use_running_average=True): with batch statistics the outputs of examples "
                    "depend on each other"
                )
        return next_fun(*args, **kwargs)

    with nn.intercept_methods(interceptor):
        yield
