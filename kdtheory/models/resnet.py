"""CIFAR ResNets of depth 6n + 2 (He et al., 2016, section 4.2)."""

import functools

import flax.linen as nn
import jax

from kdtheory.errors import InputError
from kdtheory.models.registry import register


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm and a shortcut, projected where the shape changes."""

    filters: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (n, h, w, c) to (n, h / stride, w / stride, filters)."""
        conv = functools.partial(nn.Conv, use_bias=False, kernel_init=nn.initializers.he_normal())
        norm = functools.partial(nn.BatchNorm, use_running_average=not train, momentum=0.9)
        strides = (self.stride, self.stride)
        y = conv(self.filters, (3, 3), strides=strides, padding=1)(x)
        y = nn.relu(norm()(y))
        y = norm()(conv(self.filters, (3, 3), padding=1)(y))
        if x.shape != y.shape:
            x = norm()(conv(self.filters, (1, 1), strides=strides)(x))
        return nn.relu(x + y)


class CifarResNet(nn.Module):
    """Three stages of 16, 32 and 64 filters, global average pooling, linear logits.

    The shortcut is projected by a 1 x 1 convolution where the shape changes (option B), as in the
    distillation literature's ResNets: 272,474 parameters for ResNet-20 with 10 outputs.
    """

    num_outputs: int
    blocks_per_stage: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs)."""
        x = nn.Conv(16, (3, 3), padding=1, use_bias=False, kernel_init=nn.initializers.he_normal())(
            x
        )
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        for stage, filters in enumerate((16, 32, 64)):
            for block in range(self.blocks_per_stage):
                stride = 2 if stage > 0 and block == 0 else 1
                x = BasicBlock(filters, stride)(x, train)
        x = x.mean(axis=(1, 2))
        return nn.Dense(self.num_outputs)(x)


@register(r"resnet(\d+)", examples=("resnet8", "resnet20", "resnet32", "resnet56", "resnet110"))
def build_resnet(num_outputs: int, depth: str) -> CifarResNet:
    """Build "resnetD" for a depth D = 6n + 2."""
    blocks, remainder = divmod(int(depth) - 2, 6)
    if remainder or blocks < 1:
        raise InputError(
            f"resnet{depth}: the depth of a CIFAR ResNet is 6n + 2; allowed: 8, 14, 20, 26, 32, ..."
        )
    return CifarResNet(num_outputs, blocks_per_stage=blocks)
