"""Small vision transformers (Dosovitskiy et al., 2021) in DeiT's configurations."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from kdtheory.errors import InputError
from kdtheory.models.initializers import torch_bias, torch_kernel
from kdtheory.models.registry import register

#: Name -> (width, heads): DeiT-Ti and DeiT-S (Touvron et al., 2021, table 1), both of depth 12.
_SIZES = {"tiny": (192, 3), "small": (384, 6)}

# DeiT truncates at +-2 in absolute terms, which for this deviation is not at all.
_normal = nn.initializers.normal(0.02)
_dense = functools.partial(nn.Dense, kernel_init=_normal)


class ClassToken(nn.Module):
    """Puts one learnt token before those of the patches."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (n, t, c) to (n, 1 + t, c)."""
        token = self.param("token", _normal, (1, 1, x.shape[-1]))
        first = jnp.broadcast_to(token, (x.shape[0], 1, x.shape[-1])).astype(x.dtype)
        return jnp.concatenate([first, x], axis=1)


class PositionEmbedding(nn.Module):
    """Adds a learnt vector for each position."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (n, t, c) to (n, t, c)."""
        return x + self.param("embedding", _normal, (1, *x.shape[1:])).astype(x.dtype)


class SelfAttention(nn.Module):
    """Softmax attention among the tokens of one image, with one linear layer for q, k and v."""

    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (n, t, c) to (n, t, c)."""
        n, t, c = x.shape
        qkv = _dense(3 * c)(x).reshape(n, t, 3, self.heads, c // self.heads)
        y = nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
        return _dense(c)(y.reshape(n, t, c))


class TransformerBlock(nn.Module):
    """LayerNorm and attention, LayerNorm and a perceptron with GELU, each with a shortcut."""

    heads: int
    expansion: int = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (n, t, c) to (n, t, c)."""
        x = x + SelfAttention(self.heads)(nn.LayerNorm()(x))
        y = _dense(self.expansion * x.shape[-1])(nn.LayerNorm()(x))
        return x + _dense(x.shape[-1])(nn.gelu(y, approximate=False))


class VisionTransformer(nn.Module):
    """Patches, class token, learnt positions, pre-norm blocks, linear logits of the class token.

    There is no BatchNorm and no dropout: training and inference are the same function. Positions
    belong to the size of the images that the model is initialised with.

    Attributes:
      num_outputs: number of logits.
      patch: side of a patch, which must divide the image's.
      width: channels of a token, a multiple of `heads`.
      depth: number of blocks.
      heads: number of attention heads.
    """

    num_outputs: int
    patch: int = 4
    width: int = 192
    depth: int = 12
    heads: int = 3

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs)."""
        if x.shape[1] % self.patch or x.shape[2] % self.patch:
            raise InputError(
                f"patches of {self.patch} x {self.patch} do not divide images of {x.shape[1]} x "
                f"{x.shape[2]}"
            )
        size = (self.patch, self.patch)
        x = nn.Conv(
            self.width,
            size,
            strides=size,
            padding="VALID",
            kernel_init=torch_kernel,
            bias_init=torch_bias(self.patch**2 * x.shape[-1]),
        )(x)
        x = PositionEmbedding()(ClassToken()(x.reshape(x.shape[0], -1, self.width)))
        for _ in range(self.depth):
            x = TransformerBlock(self.heads)(x)
        return _dense(self.num_outputs)(nn.LayerNorm()(x)[:, 0])


@register(
    r"vit_(tiny|small)_p(\d+)",
    examples=("vit_tiny_p4", "vit_small_p4"),
    source="Dosovitskiy et al. 2021; Touvron et al. 2021 (DeiT-Ti, DeiT-S)",
)
def build_vit(num_outputs: int, size: str, patch: str) -> VisionTransformer:
    """Build "vit_tiny_pP" or "vit_small_pP" with patches of P x P pixels."""
    if int(patch) < 1:
        raise InputError(f"vit_{size}_p{patch}: the side of a patch must be at least 1")
    width, heads = _SIZES[size]
    return VisionTransformer(num_outputs, patch=int(patch), width=width, heads=heads)
