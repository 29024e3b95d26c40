"""Convolutions' inputs that the backward pass reads from memory instead of computing again.

XLA on CPU fuses what is cheap into whatever reads it, once for each reader. A convolution's weight
gradient reads its input transposed, so the BatchNorm, the ReLU and the residual sums that made the
input are computed again inside the transposition, element by element in its strided order, back to
the first layer of the stage: 145 of the 340 ms of ResNet-20's forward and backward pass (batch 128,
two cores, JAX 0.12; 190 of 380 ms on JAX 0.10), by JAX's profiler. Kept inputs make it 250 and 300
ms; whole training steps beside a loop without them: `python -m benchmarks.training`.
"""

import contextlib
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from kdtheory.typing import ArrayLike


def kept_convolution_inputs(step: ArrayLike) -> contextlib.AbstractContextManager[None]:
    """Let Flax models trace their convolutions with inputs that XLA's fusions do not reach across.

    The input is divided by one, which changes no bit of it or of its gradient. XLA does not know
    that it is one, and repeats no division for a second reader, so it stores the input.
    `jax.lax.optimization_barrier` says the same in words, but JAX 0.10 drops it on CPU before it
    fuses.

    Args:
      step: the number of steps made, int32 and never negative: known when the program runs, not
        when it is compiled.

    Returns:
      The context in which to call the model. It serves CPUs alone: accelerators' compilers decide
      better by themselves.

    >>> import jax
    >>> conv = nn.Conv(2, (3, 3))
    >>> images = jnp.ones((1, 4, 4, 1))
    >>> variables = conv.init(jax.random.key(0), images)
    >>> with kept_convolution_inputs(jnp.int32(0)):
    ...     outputs = conv.apply(variables, images)
    >>> bool((outputs == conv.apply(variables, images)).all())
    True
    """

    def intercept(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if not isinstance(context.module, nn.Conv) or context.method_name != "__call__" or not args:
            return call(*args, **kwargs)
        images = jnp.asarray(args[0])
        one = jnp.where(step < 0, 2, 1).astype(images.dtype)
        return call(images / one, *args[1:], **kwargs)

    return nn.intercept_methods(intercept)
