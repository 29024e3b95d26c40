"""Students of one's own, in three libraries, for every command by --import.

kdtheory run --import examples/own_students.py --dataset digits --train-size 512 --teacher resnet8 \
    --student mine_linen16 --epochs 10 --out runs/mine
"""

import equinox as eqx
import flax.linen as nn
import jax
from flax import nnx

from kdtheory import models


class OfLinen(nn.Module):
    """A convolution, the mean over the pixels, and a layer, by Flax's linen."""

    filters: int
    num_outputs: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Return the logits (n, d) of images (n, h, w, c)."""
        x = nn.relu(nn.Conv(self.filters, (3, 3))(x))
        return nn.Dense(self.num_outputs)(x.mean(axis=(1, 2)))


@models.register(r"mine_linen(\d+)", examples=("mine_linen16",), source="own_students.py")
def of_linen(num_outputs: int, filters: str) -> nn.Module:
    """Return a linen student; the number in its name is that of its filters."""
    return OfLinen(int(filters), num_outputs)


class OfNnx(nnx.Module):
    """The same by Flax's NNX, for images with one channel."""

    def __init__(self, filters: int, num_outputs: int, *, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(1, filters, (3, 3), rngs=rngs)
        self.dense = nnx.Linear(filters, num_outputs, rngs=rngs)

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Return the logits (n, d) of images (n, h, w, 1)."""
        return self.dense(nnx.relu(self.conv(x)).mean(axis=(1, 2)))


@models.register(
    r"mine_nnx(\d+)", examples=("mine_nnx16",), source="own_students.py", image_shape=(8, 8, 1)
)
def of_nnx(num_outputs: int, filters: str) -> nn.Module:
    """Return an NNX student: `to_linen` takes its class and what it is made with."""
    return nnx.bridge.to_linen(OfNnx, int(filters), num_outputs)


class OfEquinox(eqx.Module):
    """The same by Equinox, whose modules are given one image, channels first."""

    conv: eqx.nn.Conv2d
    dense: eqx.nn.Linear

    def __init__(self, filters: int, num_outputs: int, *, key: jax.Array) -> None:
        first, second = jax.random.split(key)
        self.conv = eqx.nn.Conv2d(1, filters, 3, padding=1, key=first)
        self.dense = eqx.nn.Linear(filters, num_outputs, key=second)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the logits (d,) of one image (h, w, 1)."""
        x = jax.nn.relu(self.conv(x.transpose(2, 0, 1)))
        return self.dense(x.mean(axis=(1, 2)))


@models.register(
    r"mine_equinox(\d+)",
    examples=("mine_equinox16",),
    source="own_students.py",
    image_shape=(8, 8, 1),
)
def of_equinox(num_outputs: int, filters: str) -> nn.Module:
    """Return an Equinox student: `equinox_to_linen` takes its class and what it is made with."""
    return models.equinox_to_linen(OfEquinox, int(filters), num_outputs)
