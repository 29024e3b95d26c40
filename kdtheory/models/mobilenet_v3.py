"""MobileNet-V3 small and large (Howard et al., 2019, tables 1 and 2), with a stem for small images.

Channels, initial values, momentum and epsilon are those of torchvision.
"""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax

from kdtheory.models.conv_norm import ConvNorm
from kdtheory.models.initializers import he_fan_out
from kdtheory.models.registry import register
from kdtheory.models.sizes import divisible, width_from

#: The papers' normalisation: statistics that keep 99% a step, epsilon 0.001.
_ConvNorm = functools.partial(ConvNorm, momentum=0.99, epsilon=1e-3)


class Bottleneck(NamedTuple):
    """One row of the paper's tables, at width 1."""

    kernel: int
    expanded: int
    filters: int
    squeeze: bool
    """With squeeze and excitation."""
    hard_swish: bool
    """Activation hard-swish rather than ReLU."""
    stride: int


#: Table 1.
LARGE = (
    Bottleneck(3, 16, 16, False, False, 1),
    Bottleneck(3, 64, 24, False, False, 2),
    Bottleneck(3, 72, 24, False, False, 1),
    Bottleneck(5, 72, 40, True, False, 2),
    Bottleneck(5, 120, 40, True, False, 1),
    Bottleneck(5, 120, 40, True, False, 1),
    Bottleneck(3, 240, 80, False, True, 2),
    Bottleneck(3, 200, 80, False, True, 1),
    Bottleneck(3, 184, 80, False, True, 1),
    Bottleneck(3, 184, 80, False, True, 1),
    Bottleneck(3, 480, 112, True, True, 1),
    Bottleneck(3, 672, 112, True, True, 1),
    Bottleneck(5, 672, 160, True, True, 2),
    Bottleneck(5, 960, 160, True, True, 1),
    Bottleneck(5, 960, 160, True, True, 1),
)

#: Table 2.
SMALL = (
    Bottleneck(3, 16, 16, True, False, 2),
    Bottleneck(3, 72, 24, False, False, 2),
    Bottleneck(3, 88, 24, False, False, 1),
    Bottleneck(5, 96, 40, True, True, 2),
    Bottleneck(5, 240, 40, True, True, 1),
    Bottleneck(5, 240, 40, True, True, 1),
    Bottleneck(5, 120, 48, True, True, 1),
    Bottleneck(5, 144, 48, True, True, 1),
    Bottleneck(5, 288, 96, True, True, 2),
    Bottleneck(5, 576, 96, True, True, 1),
    Bottleneck(5, 576, 96, True, True, 1),
)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a hard sigmoid of two linear layers on all channels' means."""

    squeezed: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (n, h, w, c) to (n, h, w, c)."""
        scale = nn.relu(nn.Dense(self.squeezed, kernel_init=he_fan_out)(x.mean(axis=(1, 2))))
        scale = nn.hard_sigmoid(nn.Dense(x.shape[-1], kernel_init=he_fan_out)(scale))
        return x * scale[:, None, None, :]


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, squeeze and excitation, linear projection, shortcut.

    The expansion is left out where it changes nothing; the shortcut is there where input and output
    have the same shape.
    """

    settings: Bottleneck
    width: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (n, h, w, c) to (n, ceil(h / stride), ceil(w / stride), filters)."""
        kernel, _, _, squeeze, hard_swish, stride = self.settings
        expanded = divisible(self.settings.expanded * self.width)
        filters = divisible(self.settings.filters * self.width)
        conv = functools.partial(_ConvNorm, activation=nn.hard_swish if hard_swish else nn.relu)
        y = x if expanded == x.shape[-1] else conv(expanded, kernel=1)(x, train)
        y = conv(expanded, kernel=kernel, stride=stride, groups=expanded)(y, train)
        if squeeze:
            y = SqueezeExcitation(divisible(expanded // 4))(y)
        y = _ConvNorm(filters, kernel=1, activation=None)(y, train)
        return x + y if stride == 1 and x.shape[-1] == filters else y


class MobileNetV3(nn.Module):
    """Stem, bottlenecks, 1 x 1 convolution, global pooling, a hidden linear layer, linear logits.

    Attributes:
      num_outputs: number of logits.
      bottlenecks: rows of the paper's table.
      hidden: width of the last hidden layer, at width 1.
      width: factor on all channels, rounded to multiples of 8.
      imagenet_stem: the published strides, which divide the image by 32; otherwise the first two of
        the five are left out, for images of 32 or 64 pixels. The parameters are the same.
    """

    num_outputs: int
    bottlenecks: tuple[Bottleneck, ...]
    hidden: int
    width: float = 1.0
    imagenet_stem: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs)."""
        left_out = 0 if self.imagenet_stem else 1
        stem = divisible(16 * self.width)
        x = _ConvNorm(stem, stride=2 - left_out, activation=nn.hard_swish)(x, train)
        for row in self.bottlenecks:
            settings = row
            if left_out and row.stride == 2:
                settings, left_out = row._replace(stride=1), left_out - 1
            x = InvertedResidual(settings, self.width)(x, train)
        x = _ConvNorm(6 * x.shape[-1], kernel=1, activation=nn.hard_swish)(x, train)
        x = x.mean(axis=(1, 2))
        small = nn.initializers.normal(0.01)
        x = nn.hard_swish(nn.Dense(divisible(self.hidden * self.width), kernel_init=small)(x))
        return nn.Dense(self.num_outputs, kernel_init=small)(x)


_PATTERN = r"mobilenet_v3_(small|large)(?:_x(\d+(?:\.\d+)?))?"


@register(
    _PATTERN,
    examples=(
        "mobilenet_v3_small", "mobilenet_v3_large", "mobilenet_v3_large_x0.35",
        "mobilenet_v3_large_x1.25",
    ),
    source="Howard et al. 2019, tables 1 and 2, small-image strides",
)  # fmt: skip
def build_small_image(num_outputs: int, size: str, width: str | None) -> MobileNetV3:
    """Build "mobilenet_v3_small" or "_large", and "_xW" with W times the channels."""
    return _build(num_outputs, size, width, imagenet_stem=False)


@register(
    _PATTERN + "_imagenet",
    examples=("mobilenet_v3_small_imagenet", "mobilenet_v3_large_imagenet"),
    source="Howard et al. 2019, tables 1 and 2; torchvision",
    image_shape=(224, 224, 3),
)
def build_imagenet(num_outputs: int, size: str, width: str | None) -> MobileNetV3:
    """Build the same with the published strides, for large images."""
    return _build(num_outputs, size, width, imagenet_stem=True)


def _build(num_outputs: int, size: str, width: str | None, *, imagenet_stem: bool) -> MobileNetV3:
    bottlenecks, hidden = (SMALL, 1024) if size == "small" else (LARGE, 1280)
    return MobileNetV3(
        num_outputs,
        bottlenecks=bottlenecks,
        hidden=hidden,
        width=width_from(f"mobilenet_v3_{size}", width),
        imagenet_stem=imagenet_stem,
    )
