"""Wide ResNets of depth 6n + 4 (Zagoruyko and Komodakis, 2016), in the form of CRD's code."""

import functools

import flax.linen as nn
import jax

from kdtheory.errors import InputError
from kdtheory.models.initializers import he_fan_out, torch_kernel
from kdtheory.models.registry import register
from kdtheory.models.sizes import require_depth


class PreactivationBlock(nn.Module):
    """BatchNorm, ReLU, convolution, twice, and a shortcut.

    Where the number of channels changes, the shortcut is a 1 x 1 convolution of the activated input
    (without BatchNorm); elsewhere it is the input itself.
    """

    filters: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (n, h, w, c) to (n, h / stride, w / stride, filters)."""
        conv = functools.partial(nn.Conv, use_bias=False, kernel_init=he_fan_out)
        norm = functools.partial(nn.BatchNorm, use_running_average=not train, momentum=0.9)
        strides = (self.stride, self.stride)
        y = nn.relu(norm()(x))
        if x.shape[-1] != self.filters:
            x = conv(self.filters, (1, 1), strides=strides)(y)
        y = conv(self.filters, (3, 3), strides=strides, padding=1)(y)
        y = conv(self.filters, (3, 3), padding=1)(nn.relu(norm()(y)))
        return x + y


class WideResNet(nn.Module):
    """Three stages of 16, 32 and 64 times `width` filters, global average pooling, linear logits.

    Attributes:
      num_outputs: number of logits.
      blocks_per_stage: n of the depth 6n + 4.
      width: the widening factor k of WRN-depth-k.
    """

    num_outputs: int
    blocks_per_stage: int
    width: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs)."""
        x = nn.Conv(16, (3, 3), padding=1, use_bias=False, kernel_init=he_fan_out)(x)
        for stage, filters in enumerate((16, 32, 64)):
            for block in range(self.blocks_per_stage):
                stride = 2 if stage > 0 and block == 0 else 1
                x = PreactivationBlock(filters * self.width, stride)(x, train)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = x.mean(axis=(1, 2))
        return nn.Dense(self.num_outputs, kernel_init=torch_kernel)(x)


@register(
    r"wrn_?(\d+)_(\d+)",
    examples=("wrn16_1", "wrn16_2", "wrn40_1", "wrn40_2", "wrn28_10"),
    source="Zagoruyko and Komodakis 2016; CRD",
)
def build_wide_resnet(num_outputs: int, depth: str, width: str) -> WideResNet:
    """Build "wrnD_W" (or CRD's spelling "wrn_D_W") for a depth D = 6n + 4 and a width W."""
    name = f"wrn{depth}_{width}"
    require_depth(name, int(depth))
    blocks, remainder = divmod(int(depth) - 4, 6)
    if remainder or blocks < 1:
        raise InputError(
            f"{name}: the depth of a wide ResNet is 6n + 4; allowed: 10, 16, 22, 28, 34, 40, ..."
        )
    if int(width) < 1:
        raise InputError(f"{name}: the width must be at least 1")
    return WideResNet(num_outputs, blocks_per_stage=blocks, width=int(width))
