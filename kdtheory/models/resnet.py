"""CIFAR ResNets of depth 6n + 2 (He et al., 2016, section 4.2), and their widened form."""

import functools

import flax.linen as nn
import jax

from kdtheory.errors import InputError
from kdtheory.models.registry import register
from kdtheory.models.sizes import require_depth


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
    distillation literature's ResNets: 272,474 parameters for ResNet-20 with 10 outputs. He et al.
    pad with zeros instead (option A, 269,722); every width 1 network differs by those 2,752.

    Attributes:
      num_outputs: number of logits.
      blocks_per_stage: n of the depth 6n + 2.
      width: factor on the filters of the stages. The first convolution has 16 filters at width 1
        and 32 at every other, as in CRD's resnet8x4 and resnet32x4.
    """

    num_outputs: int
    blocks_per_stage: int
    width: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs)."""
        stem = 16 if self.width == 1 else 32
        he_normal = nn.initializers.he_normal()
        x = nn.Conv(stem, (3, 3), padding=1, use_bias=False, kernel_init=he_normal)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        for stage, filters in enumerate((16, 32, 64)):
            for block in range(self.blocks_per_stage):
                stride = 2 if stage > 0 and block == 0 else 1
                x = BasicBlock(filters * self.width, stride)(x, train)
        x = x.mean(axis=(1, 2))
        return nn.Dense(self.num_outputs)(x)


@register(
    r"resnet(\d+)(?:x(\d+))?",
    examples=(
        "resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110",
        "resnet8x4", "resnet32x4",
    ),
    source="He et al. 2016, section 4.2, option B; CRD",
)  # fmt: skip
def build_resnet(num_outputs: int, depth: str, width: str | None) -> CifarResNet:
    """Build "resnetD" for a depth D = 6n + 2, or "resnetDxW" with W times the filters."""
    name = f"resnet{depth}" if width is None else f"resnet{depth}x{width}"
    require_depth(name, int(depth))
    blocks, remainder = divmod(int(depth) - 2, 6)
    if remainder or blocks < 1:
        raise InputError(
            f"{name}: the depth of a CIFAR ResNet is 6n + 2; allowed: 8, 14, 20, 26, 32, ... "
            "(and 18, 34, 50, 101, 152, which are the ImageNet networks)"
        )
    if width is not None and int(width) < 1:
        raise InputError(f"{name}: the width must be at least 1")
    return CifarResNet(num_outputs, blocks_per_stage=blocks, width=int(width or 1))
