"""Initialisers of the published implementations that Flax does not have by name."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

#: Normal with variance 2 / fan_out (He et al., 2015, section 2.2, the backward form). The fan of a
#: depthwise convolution counts all its channels, as in PyTorch's kaiming_normal_(mode="fan_out").
he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

#: Uniform in +-1 / sqrt(fan_in): what PyTorch's convolutions and linear layers start from where
#: the published code says nothing else.
torch_kernel = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


@functools.cache
def torch_bias(fan_in: int) -> nn.initializers.Initializer:
    """Return PyTorch's default initialiser of a bias: uniform in +-1 / sqrt(fan_in).

    Args:
      fan_in: number of inputs of each output.

    >>> bias = torch_bias(4)(jax.random.key(0), (1000,))
    >>> bool(abs(bias).max() <= 0.5), bias.dtype
    (True, dtype('float32'))
    """
    bound = fan_in**-0.5

    def initializer(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initializer


def torch_dense(features: int, fan_in: int) -> nn.Dense:
    """Return a linear layer with PyTorch's default initial values.

    >>> layer = torch_dense(2, fan_in=3)
    >>> layer.init(jax.random.key(0), jnp.zeros((1, 3)))["params"]["bias"].shape
    (2,)
    """
    return nn.Dense(features, kernel_init=torch_kernel, bias_init=torch_bias(fan_in))
