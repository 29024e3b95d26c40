"""Mean and deviation of the pixels, which normalisation divides by."""

import numpy as np
from jaxtyping import Float32, UInt8

from kdtheory.errors import InputError


def pixel_statistics(
    images: UInt8[np.ndarray, "n h w c"] | Float32[np.ndarray, "n h w c"],
) -> tuple[Float32[np.ndarray, " c"], Float32[np.ndarray, " c"]]:
    """Return each channel's mean and standard deviation of pixel / 255, float32 of shape (c,).

    The sums are exact where the pixels are integers, so every machine finds the same; floating
    images are summed in float64. A channel without any variation gets 1 for its deviation, so that
    normalised images stay finite.

    Raises:
      InputError: if all pixels are 0, as when images in [0, 1] were cast to integers.

    >>> pixel_statistics(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1))
    (array([0.5], dtype=float32), array([0.5], dtype=float32))
    """
    channels, count = images.shape[-1], images.size // images.shape[-1]
    if images.dtype == np.uint8:
        mean, deviation = _of_integers(images, channels, count)
    else:
        mean, deviation = _of_floating(images, channels, count)
    if count and not deviation.any() and not mean.any():
        raise InputError(
            f"all {count:,} pixels of the training images are 0 (images in [0, 1] that were cast "
            "to integers?)"
        )
    std = np.where(deviation > 0, deviation, 255.0)
    return (mean / 255).astype(np.float32), (std / 255).astype(np.float32)


def _of_integers(images: np.ndarray, channels: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    total, squares = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    for start in range(0, len(images), 1024):
        pixels = images[start : start + 1024].reshape(-1, channels).astype(np.int32)
        total += pixels.sum(axis=0, dtype=np.int64)
        squares += np.square(pixels).sum(axis=0, dtype=np.int64)
    mean = total / count
    # Python's integers: count * squares may pass 2**63.
    variance = np.array(
        [
            (count * int(square) - int(first) ** 2) / count**2
            for first, square in zip(total, squares, strict=True)
        ]
    )
    return mean, np.sqrt(variance)


def _of_floating(images: np.ndarray, channels: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    pixels = images.reshape(-1, channels)
    starts = range(0, len(pixels), 1 << 20)
    chunks = [slice(start, start + (1 << 20)) for start in starts]
    total = sum(
        (pixels[chunk].sum(axis=0, dtype=np.float64) for chunk in chunks), np.zeros(channels)
    )
    mean = total / count
    squares = sum(
        (np.square(pixels[chunk] - mean).sum(axis=0) for chunk in chunks), np.zeros(channels)
    )
    deviation = np.sqrt(squares / count)
    # A constant channel's mean is rounded in float64.
    return mean, np.where(deviation > 1e-12 * np.abs(mean), deviation, 0.0)
