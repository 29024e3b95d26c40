"""ResNet-18, 34, 50, 101 and 152 (He et al., 2016, table 1), with a stem for small images."""

import flax.linen as nn
import jax

from kdtheory.models.conv_norm import ConvNorm
from kdtheory.models.initializers import torch_dense
from kdtheory.models.registry import register
from kdtheory.models.sizes import per_stage, width_from

#: Depth -> (blocks of each stage, whether they are bottlenecks).
_STAGES = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, or a bottleneck of 1 x 1, 3 x 3 and 1 x 1, with a shortcut.

    The shortcut is projected where the shape changes. A bottleneck has 4 times as many outputs as
    `filters`, and its stride in the 3 x 3 convolution.
    """

    filters: int
    stride: int = 1
    bottleneck: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map (n, h, w, c) to (n, h / stride, w / stride, filters or 4 filters)."""
        if self.bottleneck:
            out = 4 * self.filters
            y = ConvNorm(self.filters, kernel=1)(x, train)
            y = ConvNorm(self.filters, stride=self.stride)(y, train)
            y = ConvNorm(out, kernel=1, activation=None)(y, train)
        else:
            out = self.filters
            y = ConvNorm(out, stride=self.stride)(x, train)
            y = ConvNorm(out, activation=None)(y, train)
        if self.stride != 1 or x.shape[-1] != out:
            x = ConvNorm(out, kernel=1, stride=self.stride, activation=None)(x, train)
        return nn.relu(x + y)


class FourStageResNet(nn.Module):
    """Stem, four stages that halve the image from the second on, global pooling, linear logits.

    Attributes:
      num_outputs: number of logits.
      blocks: number of blocks of each stage.
      bottleneck: blocks of three convolutions with 4 times the outputs.
      filters: of each stage.
      imagenet_stem: 7 x 7 convolution of stride 2 and max pooling, for images of some 224 pixels;
        otherwise a 3 x 3 convolution of stride 1, for 32 or 64 pixels.
    """

    num_outputs: int
    blocks: tuple[int, ...]
    bottleneck: bool
    filters: tuple[int, ...] = (64, 128, 256, 512)
    imagenet_stem: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs)."""
        if self.imagenet_stem:
            x = ConvNorm(self.filters[0], kernel=7, stride=2)(x, train)
            x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        else:
            x = ConvNorm(self.filters[0])(x, train)
        for stage, (filters, blocks) in enumerate(zip(self.filters, self.blocks, strict=True)):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                x = ResidualBlock(filters, stride, self.bottleneck)(x, train)
        x = x.mean(axis=(1, 2))
        return torch_dense(self.num_outputs, x.shape[-1])(x)


_PATTERN = r"resnet(18|34|50|101|152)(?:_x(\d+(?:\.\d+)?))?"


# Registered after the CIFAR ResNets, of whose depths 50 and 152 would also be two.
@register(
    _PATTERN,
    examples=("resnet18", "resnet34", "resnet50", "resnet101"),
    source="He et al. 2016, table 1, small-image stem; CRD",
)
def build_small_image(num_outputs: int, depth: str, width: str | None) -> FourStageResNet:
    """Build "resnetD" or "resnetD_xW" for 32 or 64 pixels, D in 18, 34, 50, 101, 152."""
    return _build(num_outputs, depth, width, imagenet_stem=False)


@register(
    _PATTERN + "_imagenet",
    examples=("resnet18_imagenet", "resnet50_imagenet"),
    source="He et al. 2016, table 1; torchvision",
    image_shape=(224, 224, 3),
)
def build_imagenet(num_outputs: int, depth: str, width: str | None) -> FourStageResNet:
    """Build "resnetD_imagenet" or "resnetD_xW_imagenet", with the stem for large images."""
    return _build(num_outputs, depth, width, imagenet_stem=True)


def _build(
    num_outputs: int, depth: str, width: str | None, *, imagenet_stem: bool
) -> FourStageResNet:
    blocks, bottleneck = _STAGES[int(depth)]
    return FourStageResNet(
        num_outputs,
        blocks=blocks,
        bottleneck=bottleneck,
        filters=per_stage((64, 128, 256, 512), width_from(f"resnet{depth}", width)),
        imagenet_stem=imagenet_stem,
    )
