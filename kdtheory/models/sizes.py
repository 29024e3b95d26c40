"""Checks of sizes that a model's name or its images give."""

import jax

from kdtheory.errors import InputError


def width_from(name: str, text: str | None) -> float:
    """Return the width multiplier that a name ends with; 1 without one.

    Raises:
      InputError: a multiplier of zero.

    >>> width_from("vgg8", None), width_from("vgg8", "0.5")
    (1.0, 0.5)
    """
    width = 1.0 if text is None else float(text)
    if width <= 0:
        raise InputError(f"{name}_x{text}: the width multiplier must be more than 0")
    return width


#: Deeper networks take hours to be traced, before anything is known of their size.
_MOST_LAYERS = 2_000


def require_depth(name: str, depth: int) -> None:
    """Raise InputError for a network of more layers than can be traced.

    >>> require_depth("resnet1202", 1202)
    """
    if depth > _MOST_LAYERS:
        raise InputError(f"{name}: a depth of at most {_MOST_LAYERS:,} layers is allowed")


def scaled(channels: int, width: float) -> int:
    """Return channels times width, rounded down, at least 1.

    >>> scaled(24, 0.5), scaled(1, 0.25)
    (12, 1)
    """
    return max(1, int(channels * width))


def divisible(channels: int | float, divisor: int = 8) -> int:
    """Return the multiple of a divisor nearest to a number of channels, losing at most a tenth.

    The rounding of the MobileNet papers' implementations.

    >>> divisible(16 * 0.35), divisible(960 * 0.35), divisible(19)
    (8, 336, 24)
    """
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest


def require_side(model: str, x: jax.Array, smallest: int) -> None:
    """Raise InputError for images that a model's pooling would reduce to nothing.

    >>> import jax.numpy as jnp
    >>> require_side("VGG", jnp.zeros((1, 8, 8, 3)), 8)
    """
    if min(x.shape[1:3]) < smallest:
        raise InputError(
            f"{model} needs images of at least {smallest} x {smallest}, got {x.shape[1]} x "
            f"{x.shape[2]}"
        )


def per_stage(widths: tuple[int, ...], width: float) -> tuple[int, ...]:
    """Return the channels of all stages times a width.

    >>> per_stage((64, 128), 0.5)
    (32, 64)
    """
    return tuple(scaled(channels, width) for channels in widths)
