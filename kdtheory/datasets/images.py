"""What comes in as images, wherever it comes in: checked once, and in one of two dtypes."""

from typing import Any

import numpy as np

from kdtheory.errors import InputError

#: More channels than this, beside so small a height, are taken for channels that come first.
_FEW_CHANNELS = 4


def checked_images(images: Any, what: str = "images") -> np.ndarray:
    """Return images (n, h, w, c) as uint8 or float32, or raise.

    Integers and booleans have pixel values 0 to 255 and become uint8. Floating images stay what
    they are, in any units ([0, 1], 0 to 255, standardised), as float32: networks are given
    `normalize(images, mean, std)`, which takes the training split's own mean and deviation, so that
    the units do not matter as long as all splits have the same.

    Args:
      images: anything that `numpy.asarray` makes an array of.
      what: names them in errors.

    Raises:
      InputError: not four axes, channels that come first, integers outside of 0 to 255, values that
        are not finite, or no numbers.

    >>> checked_images(np.full((1, 2, 2, 1), 7)).dtype, checked_images(np.ones((1, 2, 2, 3))).dtype
    (dtype('uint8'), dtype('float32'))
    >>> checked_images(np.zeros((5, 28, 28), np.uint8))
    Traceback (most recent call last):
    kdtheory.errors.InputError: images must have the shape (n, h, w, c), got (5, 28, 28); ...
    """
    try:
        array = np.asarray(images)
    except ValueError as error:  # images of several sizes in a list
        raise InputError(
            f"{what} must be one array (n, h, w, c) of images of one size: {error}"
        ) from error
    _check_shape(array.shape, what)
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind in "biu":
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        if low < 0 or high > 255:
            raise InputError(
                f"{what} as integers must have values 0 to 255, got {low} to {high} "
                f"({array.dtype}); make floating ones of them, such as images / {max(high, 1)}"
            )
        return array.astype(np.uint8)
    # "V": bfloat16 and the like, which NumPy does not know by kind.
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise InputError(
            f"{what} must be uint8 (0 to 255) or floating, got an array of {array.dtype}"
        )
    with np.errstate(over="ignore"):
        floating = array.astype(np.float32, copy=False)
    if not np.isfinite(floating).all():
        raise InputError(
            f"{what} must be finite, {int((~np.isfinite(floating)).sum()):,} pixels are NaN or "
            "infinite"
        )
    return floating


def _check_shape(shape: tuple[int, ...], what: str) -> None:
    if len(shape) != 4:
        remedy = "; grey images need a channel axis: images[..., None]" if len(shape) == 3 else ""
        raise InputError(f"{what} must have the shape (n, h, w, c), got {shape}{remedy}")
    _, height, width, channels = shape
    # Features are images of one pixel.
    if channels > _FEW_CHANNELS >= height and (height, width) != (1, 1):
        raise InputError(
            f"{what} must have the shape (n, h, w, c), got {shape}, whose channels come first; "
            "move them: np.moveaxis(images, 1, -1)"
        )
