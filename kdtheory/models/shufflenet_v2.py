"""ShuffleNet-V2 (Ma et al., 2018) for small images, in the form of CRD's code."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from kdtheory.models.conv_norm import ConvNorm
from kdtheory.models.initializers import torch_dense, torch_kernel
from kdtheory.models.registry import register

#: Width -> channels of the three stages and of the last convolution.
_CHANNELS = {
    "0.5": (48, 96, 192, 1024),
    "1": (116, 232, 464, 1024),
    "1.5": (176, 352, 704, 1024),
    "2": (224, 488, 976, 2048),
}

_ConvNorm = functools.partial(ConvNorm, kernel_init=torch_kernel)
_Linear = functools.partial(_ConvNorm, activation=None)


def shuffle(x: jax.Array) -> jax.Array:
    """Interleave the two halves of the channels of (n, h, w, c).

    >>> shuffle(jnp.arange(6).reshape(1, 1, 1, 6)).ravel().tolist()
    [0, 3, 1, 4, 2, 5]
    """
    halves = x.reshape(*x.shape[:-1], 2, x.shape[-1] // 2)
    return halves.swapaxes(-1, -2).reshape(x.shape)


class ShuffleUnit(nn.Module):
    """Half of the channels pass, half go through 1 x 1, depthwise and 1 x 1; then a shuffle."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (n, h, w, c) to (n, h, w, c), c even."""
        half = x.shape[-1] // 2
        kept, y = x[..., :half], x[..., half:]
        y = _ConvNorm(half, kernel=1)(y, train)
        y = _Linear(half, groups=half)(y, train)
        y = _ConvNorm(half, kernel=1)(y, train)
        return shuffle(jnp.concatenate([kept, y], axis=-1))


class DownUnit(nn.Module):
    """All channels through both branches, each with a depthwise convolution of stride 2."""

    filters: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (n, h, w, c) to (n, ceil(h / 2), ceil(w / 2), filters), filters even."""
        channels, half = x.shape[-1], self.filters // 2
        left = _Linear(channels, stride=2, groups=channels)(x, train)
        left = _ConvNorm(half, kernel=1)(left, train)
        right = _ConvNorm(half, kernel=1)(x, train)
        right = _Linear(half, stride=2, groups=half)(right, train)
        right = _ConvNorm(half, kernel=1)(right, train)
        return shuffle(jnp.concatenate([left, right], axis=-1))


class ShuffleNetV2(nn.Module):
    """1 x 1 stem without stride or pooling (CRD), three stages, 1 x 1 convolution, linear logits.

    Attributes:
      num_outputs: number of logits.
      channels: of the stages, even, and of the last convolution.
      units: number of units of each stage, after the one that halves the image.
      stem: channels of the stem.
    """

    num_outputs: int
    channels: tuple[int, ...]
    units: tuple[int, ...] = (3, 7, 3)
    stem: int = 24

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs)."""
        *stages, last = self.channels
        x = _ConvNorm(self.stem, kernel=1)(x, train)
        for filters, units in zip(stages, self.units, strict=True):
            x = DownUnit(filters)(x, train)
            for _ in range(units):
                x = ShuffleUnit()(x, train)
        x = _ConvNorm(last, kernel=1)(x, train)
        x = x.mean(axis=(1, 2))
        return torch_dense(self.num_outputs, x.shape[-1])(x)


@register(
    r"shufflenet_v2(?:_x(0\.5|1|1\.0|1\.5|2|2\.0))?",
    examples=("shufflenet_v2", "shufflenet_v2_x0.5"),
    source="Ma et al. 2018; CRD (its ShuffleV2 is x1)",
)
def build_shufflenet_v2(num_outputs: int, width: str | None) -> ShuffleNetV2:
    """Build "shufflenet_v2" or "shufflenet_v2_xW", W in 0.5, 1, 1.5, 2."""
    channels = _CHANNELS[(width or "1").removesuffix(".0")]
    return ShuffleNetV2(num_outputs, channels=channels)
