"""VGG with BatchNorm (Simonyan and Zisserman, 2015) for small images, in the form of CRD's code."""

import flax.linen as nn
import jax

from kdtheory.models.initializers import he_fan_out
from kdtheory.models.pooling import max_pool
from kdtheory.models.registry import register
from kdtheory.models.sizes import per_stage, require_side, width_from

#: Depth -> 3 x 3 convolutions in each of the five stages.
_CONVOLUTIONS = {
    8: (1, 1, 1, 1, 1),
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


class VGG(nn.Module):
    """Five stages of 3 x 3 convolutions with bias and BatchNorm, linear logits.

    Max pooling follows the first three stages, the fourth too from 64 pixels on, and global average
    pooling the fifth. As in CRD's code, one linear layer stands for the ImageNet form's three.

    Attributes:
      num_outputs: number of logits.
      convolutions: number of convolutions of each stage.
      filters: of each stage.
    """

    num_outputs: int
    convolutions: tuple[int, ...]
    filters: tuple[int, ...] = (64, 128, 256, 512, 512)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs)."""
        require_side("VGG", x, 8)
        pooled_stages = 4 if min(x.shape[1:3]) >= 64 else 3
        for stage, (count, filters) in enumerate(zip(self.convolutions, self.filters, strict=True)):
            for _ in range(count):
                x = nn.Conv(filters, (3, 3), padding=1, kernel_init=he_fan_out)(x)
                x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
            if stage < pooled_stages:
                x = max_pool(x)
        x = x.mean(axis=(1, 2))
        return nn.Dense(self.num_outputs, kernel_init=nn.initializers.normal(0.01))(x)


@register(
    r"vgg(8|11|13|16|19)(?:_x(\d+(?:\.\d+)?))?",
    examples=("vgg8", "vgg11", "vgg13", "vgg16", "vgg19"),
    source="Simonyan and Zisserman 2015, with BatchNorm; CRD",
)
def build_vgg(num_outputs: int, depth: str, width: str | None) -> VGG:
    """Build "vggD" or "vggD_xW" (W times the filters), D in 8, 11, 13, 16, 19."""
    filters = per_stage((64, 128, 256, 512, 512), width_from(f"vgg{depth}", width))
    return VGG(num_outputs, convolutions=_CONVOLUTIONS[int(depth)], filters=filters)
