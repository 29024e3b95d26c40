"""Convolutions of several networks at once, as one dense convolution with block-diagonal kernels.

`jax.vmap` over kernels makes a grouped convolution, for which accelerators' libraries are slow
where a group has few channels. Here the networks' channels lie side by side, and the kernel is the
block-diagonal matrix of theirs: S networks cost S times the arithmetic of the grouped form, on
matrix units that 16 channels leave mostly idle, and need a single launch. Gradients take the same
form. The numbers are those of `vmap`, to rounding.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

Convolution = Callable[[jax.Array, jax.Array], jax.Array]


def _side_by_side(images: jax.Array) -> jax.Array:
    """(s, n, ..., c) -> (n, ..., s c)."""
    moved = jnp.moveaxis(images, 0, -2)
    return moved.reshape(*moved.shape[:-2], -1)


def _apart(images: jax.Array, count: int) -> jax.Array:
    """(n, ..., s c) -> (s, n, ..., c)."""
    split = images.reshape(*images.shape[:-1], count, images.shape[-1] // count)
    return jnp.moveaxis(split, -2, 0)


def _block_diagonal(kernels: jax.Array) -> jax.Array:
    """(s, ..., c, o) -> (..., s c, s o)."""
    count, channels, features = kernels.shape[0], *kernels.shape[-2:]
    blocks = jnp.moveaxis(kernels, 0, -3)[..., :, :, None, :]  # (..., s, c, 1, o)
    mask = jnp.eye(count, dtype=kernels.dtype).reshape(count, 1, count, 1)
    mask = jnp.broadcast_to(mask, (*blocks.shape[:-4], count, 1, count, 1))
    shape = (*blocks.shape[:-4], count, channels, count, features)
    spread = jnp.broadcast_to(blocks, shape) * jnp.broadcast_to(mask, shape)
    return spread.reshape(*shape[:-4], count * channels, count * features)


def _with_rule(function: Callable[..., jax.Array], together: Callable[..., jax.Array]) -> Any:
    """Return a function whose vmap over all arguments is `together`."""
    batched = custom_vmap(function)

    @batched.def_vmap
    def rule(size: int, is_batched: Any, *arguments: jax.Array) -> tuple[jax.Array, bool]:
        del size
        if all(is_batched):
            return together(*arguments), True
        # One kernel for several networks' images is a plain convolution already.
        axes = tuple(0 if batched else None for batched in is_batched)
        return jax.vmap(function, in_axes=axes)(*arguments), any(is_batched)

    return batched


@functools.cache
def _convolution(settings: tuple[tuple[str, Any], ...]) -> Convolution:
    def plain(images: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(images, kernel, **dict(settings))

    def dense(images: jax.Array, kernels: jax.Array) -> jax.Array:
        outputs = plain(_side_by_side(images), _block_diagonal(kernels))
        return _apart(outputs, images.shape[0])

    def to_images(convolve: Convolution) -> Callable[..., jax.Array]:
        return lambda g, x, k: jax.vjp(lambda x: convolve(x, k), x)[1](g)[0]

    def to_kernel(convolve: Convolution) -> Callable[..., jax.Array]:
        return lambda g, x, k: jax.vjp(lambda k: convolve(x, k), k)[1](g)[0]

    forward = _with_rule(plain, dense)
    images_gradient = _with_rule(to_images(plain), to_images(dense))
    kernel_gradient = _with_rule(to_kernel(plain), to_kernel(dense))

    # Functions with a rule for vmap have none for gradients: these are given here.
    convolve = jax.custom_vjp(forward)

    def keep(x: jax.Array, k: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        return forward(x, k), (x, k)

    def back(kept: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
        return images_gradient(g, *kept), kernel_gradient(g, *kept)

    convolve.defvjp(keep, back)
    return convolve


def _hashable(value: Any) -> Any:
    return tuple(_hashable(entry) for entry in value) if isinstance(value, list) else value


def _packed(lhs: jax.Array, rhs: jax.Array, *positional: Any, **settings: Any) -> jax.Array:
    """Take the place of `jax.lax.conv_general_dilated` in a Flax layer."""
    settings.update(zip(("window_strides", "padding"), positional, strict=False))
    return _convolution(tuple((name, _hashable(value)) for name, value in settings.items()))(
        lhs, rhs
    )


def _intercept(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
    module = context.module
    if (
        type(module) is not nn.Conv
        or context.method_name != "__call__"
        or module.feature_group_count != 1
        or module.conv_general_dilated is not None
        or module.conv_general_dilated_cls is not None
    ):
        return call(*args, **kwargs)
    packed = module.clone(conv_general_dilated=_packed, parent=None, name=None)
    return packed.apply({"params": module.variables["params"]}, *args, **kwargs)


def packed_convolutions() -> contextlib.AbstractContextManager[None]:
    """Let Flax models trace their ordinary convolutions in the packed form inside this context.

    Only `jax.vmap` over a model's parameters is changed by it: alone, a model computes the same.
    Layers with groups (depthwise ones) stay as they are.

    >>> conv = nn.Conv(2, (3, 3))
    >>> params = jax.vmap(lambda key: conv.init(key, jnp.ones((1, 4, 4, 1))))(
    ...     jax.random.split(jax.random.key(0), 3)
    ... )
    >>> images = jnp.ones((3, 1, 4, 4, 1))
    >>> with packed_convolutions():
    ...     together = jax.vmap(conv.apply)(params, images)
    >>> bool(jnp.allclose(together, jax.vmap(conv.apply)(params, images), atol=1e-6))
    True
    """
    return nn.intercept_methods(_intercept)
