"""ResNet-20 and an MLP in Flax NNX and Equinox: the same networks as kdtheory's in linen.

BatchNorm is in inference mode, with the statistics of a new network.
"""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import nnx

from kdtheory import models
from kdtheory.typing import ApplyFn, Variables

_HIDDEN = (512, 512)


class NnxMLP(nnx.Module):
    """Two hidden layers of 512 ReLUs."""

    def __init__(self, side: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        widths = (side * side * 3, *_HIDDEN, outputs)
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in itertools.pairwise(widths)])

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.reshape(len(x), -1)
        for layer in self.layers[:-1]:
            x = nnx.relu(layer(x))
        return self.layers[-1](x)


class NnxBlock(nnx.Module):
    """Two 3 x 3 convolutions and a shortcut, projected where the shape changes."""

    def __init__(self, channels: int, filters: int, stride: int, *, rngs: nnx.Rngs) -> None:
        def conv(channels: int, size: int, stride: int) -> nnx.Conv:
            return nnx.Conv(
                channels, filters, (size, size), strides=stride, padding=size // 2,
                use_bias=False, rngs=rngs,
            )  # fmt: skip

        self.first, self.second = conv(channels, 3, stride), conv(filters, 3, 1)
        self.norms = nnx.List([nnx.BatchNorm(filters, rngs=rngs) for _ in range(2)])
        self.changes = channels != filters
        if self.changes:
            self.projection = conv(channels, 1, stride)
            self.projected = nnx.BatchNorm(filters, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.norms[0](self.first(x)))
        y = self.norms[1](self.second(y))
        if self.changes:
            x = self.projected(self.projection(x))
        return nnx.relu(x + y)


class NnxResNet20(nnx.Module):
    """The CIFAR ResNet of 20 layers, option B."""

    def __init__(self, side: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        del side
        self.stem = nnx.Conv(3, 16, (3, 3), padding=1, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.blocks = nnx.List([NnxBlock(*shape, rngs=rngs) for shape in _blocks()])
        self.head = nnx.Linear(64, outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))


class EquinoxMLP(eqx.Module):
    """Two hidden layers of 512 ReLUs, of one example."""

    mlp: eqx.nn.MLP

    def __init__(self, side: int, outputs: int, *, key: jax.Array) -> None:
        self.mlp = eqx.nn.MLP(side * side * 3, outputs, _HIDDEN[0], len(_HIDDEN), key=key)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.mlp(x.reshape(-1))


class EquinoxNorm(eqx.Module):
    """BatchNorm in inference mode with a new network's statistics, mean 0 and variance 1.

    Equinox's own keeps them in a state beside the module.
    """

    scale: jax.Array
    bias: jax.Array

    def __init__(self, channels: int) -> None:
        self.scale, self.bias = jnp.ones(channels), jnp.zeros(channels)

    def __call__(self, x: jax.Array) -> jax.Array:
        factor = self.scale * jax.lax.rsqrt(jnp.float32(1 + 1e-5))
        return x * factor[:, None, None] + self.bias[:, None, None]


class EquinoxBlock(eqx.Module):
    """Two 3 x 3 convolutions and a shortcut, projected where the shape changes."""

    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d
    norms: tuple[EquinoxNorm, EquinoxNorm]
    projection: eqx.nn.Conv2d | None
    projected: EquinoxNorm | None

    def __init__(self, channels: int, filters: int, stride: int, *, key: jax.Array) -> None:
        one, two, three = jax.random.split(key, 3)
        self.first = _conv(channels, filters, 3, stride, one)
        self.second = _conv(filters, filters, 3, 1, two)
        self.norms = (EquinoxNorm(filters), EquinoxNorm(filters))
        changes = channels != filters
        self.projection = _conv(channels, filters, 1, stride, three) if changes else None
        self.projected = EquinoxNorm(filters) if changes else None

    def __call__(self, x: jax.Array) -> jax.Array:
        y = jax.nn.relu(self.norms[0](self.first(x)))
        y = self.norms[1](self.second(y))
        if self.projection is not None and self.projected is not None:
            x = self.projected(self.projection(x))
        return jax.nn.relu(x + y)


class EquinoxResNet20(eqx.Module):
    """The CIFAR ResNet of 20 layers, option B, of one image (h, w, c)."""

    stem: eqx.nn.Conv2d
    norm: EquinoxNorm
    blocks: tuple[EquinoxBlock, ...]
    head: eqx.nn.Linear

    def __init__(self, side: int, outputs: int, *, key: jax.Array) -> None:
        del side
        keys = iter(jax.random.split(key, 11))
        self.stem, self.norm = _conv(3, 16, 3, 1, next(keys)), EquinoxNorm(16)
        self.blocks = tuple(EquinoxBlock(*shape, key=next(keys)) for shape in _blocks())
        self.head = eqx.nn.Linear(64, outputs, key=next(keys))

    def __call__(self, x: jax.Array) -> jax.Array:
        x = jax.nn.relu(self.norm(self.stem(x.transpose(2, 0, 1))))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))


def _conv(channels: int, filters: int, size: int, stride: int, key: jax.Array) -> eqx.nn.Conv2d:
    return eqx.nn.Conv2d(
        channels, filters, size, stride, padding=size // 2, use_bias=False, key=key
    )


def _blocks() -> list[tuple[int, int, int]]:
    """Return each block's channels, filters and stride."""
    shapes = []
    channels = 16
    for filters in (16, 32, 64):
        for block in range(3):
            shapes.append((channels, filters, 2 if block == 0 and filters > 16 else 1))
            channels = filters
    return shapes


_MODULES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "mlp": (NnxMLP, EquinoxMLP),
    "resnet20": (NnxResNet20, EquinoxResNet20),
}

#: Models that have twins.
TWINS = tuple(_MODULES)


def twins(name: str, *, side: int, outputs: int) -> dict[str, tuple[ApplyFn, Variables]]:
    """Return the network as (apply_fn, variables) in linen, NNX and Equinox."""
    linen = models.create({"mlp": "mlp512x2"}.get(name, name), outputs)
    in_nnx, in_equinox = _MODULES[name]
    module = in_nnx(side, outputs, rngs=nnx.Rngs(0))
    module.eval()
    return {
        "linen": (linen.apply, models.init(linen, jax.random.key(0), (side, side, 3))),
        "nnx": models.from_nnx(module),
        "equinox": models.from_equinox(in_equinox(side, outputs, key=jax.random.key(0))),
    }
