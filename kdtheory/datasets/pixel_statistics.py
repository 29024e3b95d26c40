"""Mean and deviation of the pixels, which normalisation divides by."""

import numpy as np
from jaxtyping import Float32, UInt8


def pixel_statistics(
    images: UInt8[np.ndarray, "n h w c"],
) -> tuple[Float32[np.ndarray, " c"], Float32[np.ndarray, " c"]]:
    """Return each channel's mean and standard deviation of pixel / 255, float32 of shape (c,).

    The sums are exact (integers), so every machine finds the same. A channel without any
    variation gets 1 for its deviation, so that normalised images stay finite.

    >>> pixel_statistics(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1))
    (array([0.5], dtype=float32), array([0.5], dtype=float32))
    """
    channels = images.shape[-1]
    total, squares = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    for start in range(0, len(images), 1024):
        pixels = images[start : start + 1024].reshape(-1, channels).astype(np.int32)
        total += pixels.sum(axis=0, dtype=np.int64)
        squares += np.square(pixels).sum(axis=0, dtype=np.int64)
    count = images.size // channels
    mean = total / count
    # Python's integers: count * squares may pass 2**63.
    variance = np.array(
        [
            (count * int(square) - int(first) ** 2) / count**2
            for first, square in zip(total, squares, strict=True)
        ]
    )
    deviation = np.sqrt(variance)
    std = np.where(deviation > 0, deviation, 255.0)
    return (mean / 255).astype(np.float32), (std / 255).astype(np.float32)
