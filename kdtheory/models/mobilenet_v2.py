"""MobileNet-V2 (Sandler et al., 2018) for small images, in the form of CRD's code."""

import flax.linen as nn
import jax

from kdtheory.models.conv_norm import ConvNorm
from kdtheory.models.registry import register
from kdtheory.models.sizes import scaled, width_from

#: Of each stage: expansion, channels, blocks, stride of its first block.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """1 x 1 expansion, 3 x 3 depthwise convolution, linear 1 x 1 projection, and a shortcut.

    The shortcut is there where input and output have the same shape. As in CRD's code the expansion
    is a layer even where its factor is 1.
    """

    filters: int
    expansion: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (n, h, w, c) to (n, h / stride, w / stride, filters)."""
        hidden = x.shape[-1] * self.expansion
        y = ConvNorm(hidden, kernel=1)(x, train)
        y = ConvNorm(hidden, stride=self.stride, groups=hidden)(y, train)
        y = ConvNorm(self.filters, kernel=1, activation=None)(y, train)
        return x + y if self.stride == 1 and x.shape[-1] == self.filters else y


class MobileNetV2(nn.Module):
    """Stem of stride 2, inverted residuals that divide the image by 8 more, and linear logits.

    The published network divides by 16 after the stem; CRD's, for 32 x 32, leaves out the first of
    those strides.

    Attributes:
      num_outputs: number of logits.
      width: factor on all channels; on the last convolution's 1280 only above 1.
      stages: (expansion, channels, blocks, stride) of each.
    """

    num_outputs: int
    width: float = 1.0
    stages: tuple[tuple[int, int, int, int], ...] = _STAGES

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs)."""
        x = ConvNorm(scaled(32, self.width), stride=2)(x, train)
        for expansion, channels, blocks, stage_stride in self.stages:
            for block in range(blocks):
                stride = stage_stride if block == 0 else 1
                x = InvertedResidual(scaled(channels, self.width), expansion, stride)(x, train)
        x = ConvNorm(scaled(1280, max(1.0, self.width)), kernel=1)(x, train)
        x = x.mean(axis=(1, 2))
        return nn.Dense(self.num_outputs, kernel_init=nn.initializers.normal(0.01))(x)


@register(
    r"mobilenet_v2(?:_x(\d+(?:\.\d+)?))?",
    examples=("mobilenet_v2", "mobilenet_v2_x0.5"),
    source="Sandler et al. 2018; CRD (its mobile_half is x0.5)",
)
def build_mobilenet_v2(num_outputs: int, width: str | None) -> MobileNetV2:
    """Build "mobilenet_v2" or "mobilenet_v2_xW" (W times the channels)."""
    return MobileNetV2(num_outputs, width=width_from("mobilenet_v2", width))
