"""Multilayer perceptrons on flattened images."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from kdtheory.errors import InputError
from kdtheory.models.registry import register
from kdtheory.models.sizes import require_depth


class MLP(nn.Module):
    """ReLU perceptron: flatten, hidden layers, linear logits."""

    num_outputs: int
    hidden: Sequence[int] = (256, 256)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs)."""
        x = x.reshape(x.shape[0], -1)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.num_outputs)(x)


@register(
    r"mlp(?:(\d+)x(\d+))?", examples=("mlp", "mlp128x3"), source="two hidden layers of 256, or WxL"
)
def build_mlp(num_outputs: int, width: str | None, depth: str | None) -> MLP:
    """Build "mlp" (two hidden layers of 256) or "mlpWxL" (L hidden layers of W)."""
    if width is None or depth is None:
        return MLP(num_outputs)
    if int(width) < 1 or int(depth) < 1:
        raise InputError(f"mlp{width}x{depth}: width and depth must be at least 1")
    require_depth(f"mlp{width}x{depth}", int(depth))
    return MLP(num_outputs, hidden=(int(width),) * int(depth))
