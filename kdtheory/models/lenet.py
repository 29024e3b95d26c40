"""LeNet-5 (LeCun et al., 1998) with M times the filters: the weak student of the paper."""

import flax.linen as nn
import jax

from kdtheory.errors import InputError
from kdtheory.models.pooling import max_pool
from kdtheory.models.registry import register


class LeNet5(nn.Module):
    """LeNet-5 with ReLU and max pooling; `multiplier` scales the filters of both convolutions.

    The convolutions are unpadded at 32 x 32, as published. At 28 x 28 the first is padded (the
    usual MNIST form, the same 400 features at 16 filters), and below that both are, since an
    unpadded 5 x 5 filter would not fit.
    """

    num_outputs: int
    multiplier: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs)."""
        side = min(x.shape[1:3])
        padding = ("VALID" if side >= 32 else "SAME", "VALID" if side >= 28 else "SAME")
        for filters, pad in zip((6, 16), padding, strict=True):
            x = nn.relu(nn.Conv(filters * self.multiplier, (5, 5), padding=pad)(x))
            x = max_pool(x)
        x = x.reshape(x.shape[0], -1)
        for width in (120, 84):
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.num_outputs)(x)


@register(
    r"lenet5x(\d+)",
    examples=("lenet5x1", "lenet5x8"),
    source="LeCun et al. 1998, with ReLU and max pooling",
)
def build_lenet5(num_outputs: int, multiplier: str) -> LeNet5:
    """Build "lenet5xM": LeNet-5 with M times the filters."""
    if int(multiplier) < 1:
        raise InputError(f"lenet5x{multiplier}: the multiplier must be at least 1")
    return LeNet5(num_outputs, multiplier=int(multiplier))
