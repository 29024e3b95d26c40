"""The block that most image networks are made of: convolution, BatchNorm, activation."""

from collections.abc import Callable

import flax.linen as nn
import jax

from kdtheory.models.depthwise import depthwise_conv
from kdtheory.models.initializers import he_fan_out


class ConvNorm(nn.Module):
    """A convolution without bias, BatchNorm and, if given, an activation.

    Padded by (kernel - 1) / 2 on every side as in PyTorch, so that the published networks' outputs
    are reproduced at every stride (Flax's "SAME" pads asymmetrically there).

    Attributes:
      filters: number of output channels.
      kernel: side of the square kernel, odd.
      stride: stride of the convolution.
      groups: groups of channels; as many as input channels for a depthwise convolution.
      activation: applied last; None for a linear block.
      kernel_init: initialiser of the kernel.
      momentum: share of the old value that a step keeps in the running statistics
        (1 - PyTorch's momentum).
      epsilon: added to the variance.
    """

    filters: int
    kernel: int = 3
    stride: int = 1
    groups: int = 1
    activation: Callable[[jax.Array], jax.Array] | None = nn.relu
    kernel_init: nn.initializers.Initializer = he_fan_out
    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (n, h, w, c) to (n, ceil(h / stride), ceil(w / stride), filters)."""
        x = nn.Conv(
            self.filters,
            (self.kernel, self.kernel),
            strides=(self.stride, self.stride),
            padding=self.kernel // 2,
            feature_group_count=self.groups,
            use_bias=False,
            kernel_init=self.kernel_init,
            conv_general_dilated=depthwise_conv if self.groups > 1 else None,
        )(x)
        x = nn.BatchNorm(
            use_running_average=not train, momentum=self.momentum, epsilon=self.epsilon
        )(x)
        return x if self.activation is None else self.activation(x)
