"""DenseNet-121, 169 and 201 (Huang et al., 2017, table 1), with a stem for small images."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from kdtheory.models.initializers import torch_kernel
from kdtheory.models.registry import register
from kdtheory.models.sizes import require_side

#: Depth -> layers of each dense block.
_LAYERS = {
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
}

# torchvision's kaiming_normal_, by fan_in and without truncation.
_conv = functools.partial(
    nn.Conv,
    use_bias=False,
    kernel_init=nn.initializers.variance_scaling(2.0, "fan_in", "normal"),
)


class NormRelu(nn.Module):
    """BatchNorm and ReLU."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (n, h, w, c) to (n, h, w, c)."""
        return nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))


class DenseLayer(nn.Module):
    """A bottleneck of 1 x 1 and 3 x 3, whose `growth` new channels are appended to the input."""

    growth: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (n, h, w, c) to (n, h, w, c + growth)."""
        y = _conv(4 * self.growth, (1, 1))(NormRelu()(x, train))
        y = _conv(self.growth, (3, 3), padding=1)(NormRelu()(y, train))
        return jnp.concatenate([x, y], axis=-1)


class DenseNet(nn.Module):
    """Stem, dense blocks with transitions that halve the image and the channels, linear logits.

    Attributes:
      num_outputs: number of logits.
      layers: number of layers of each dense block.
      growth: channels that a layer adds; the stem has twice as many.
      imagenet_stem: 7 x 7 convolution of stride 2 and max pooling, for images of some 224 pixels;
        otherwise the 3 x 3 convolution of the paper's CIFAR networks, for 32 or 64 pixels.
    """

    num_outputs: int
    layers: tuple[int, ...]
    growth: int = 32
    imagenet_stem: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs)."""
        halvings = len(self.layers) - 1 + (2 if self.imagenet_stem else 0)
        require_side("DenseNet", x, 2**halvings)
        if self.imagenet_stem:
            x = NormRelu()(_conv(2 * self.growth, (7, 7), strides=(2, 2), padding=3)(x), train)
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        else:
            # The first dense layer begins with BatchNorm, but the stem keeps its own, so that the
            # two stems differ in the convolution and the pooling alone.
            x = NormRelu()(_conv(2 * self.growth, (3, 3), padding=1)(x), train)
        for block, layers in enumerate(self.layers):
            for _ in range(layers):
                x = DenseLayer(self.growth)(x, train)
            x = NormRelu()(x, train)
            if block < len(self.layers) - 1:
                x = _conv(x.shape[-1] // 2, (1, 1))(x)
                # Flax's avg_pool divides by an integer array, which strict promotion forbids.
                x = nn.pool(x, 0.0, jax.lax.add, (2, 2), (2, 2), "VALID") / 4
        x = x.mean(axis=(1, 2))
        return nn.Dense(self.num_outputs, kernel_init=torch_kernel)(x)


@register(
    r"densenet(121|169|201)",
    examples=("densenet121",),
    source="Huang et al. 2017, table 1, small-image stem",
)
def build_small_image(num_outputs: int, depth: str) -> DenseNet:
    """Build "densenetD" for 32 or 64 pixels, D in 121, 169, 201."""
    return DenseNet(num_outputs, layers=_LAYERS[int(depth)])


@register(
    r"densenet(121|169|201)_imagenet",
    examples=("densenet121_imagenet",),
    source="Huang et al. 2017, table 1; torchvision",
    image_shape=(224, 224, 3),
)
def build_imagenet(num_outputs: int, depth: str) -> DenseNet:
    """Build "densenetD_imagenet", with the stem for large images."""
    return DenseNet(num_outputs, layers=_LAYERS[int(depth)], imagenet_stem=True)
