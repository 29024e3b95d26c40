"""Small procedurally made images for tests and examples. Not real data, and named so."""

import numpy as np

from kdtheory.datasets.sampling import generator
from kdtheory.datasets.source import Source, SourceSplit

#: The images are one fixed set: this seed belongs to it like the size does.
SEED = 20230501


def synthetic_source(
    *,
    num_classes: int = 10,
    image_size: int = 8,
    channels: int = 3,
    train_size: int = 1024,
    test_size: int = 512,
    noise: float = 32.0,
) -> Source:
    """Return made-up images: each class is one wave pattern, shifted at random, plus noise.

    An image of class a is, in each channel, 128 + 64 cos(2 pi (u_a . x) + phase) with the
    class's own wave vectors u_a, a phase drawn for each image, and Gaussian pixel noise of
    standard deviation `noise` (in pixel values 0 to 255). Classes are equally frequent. The same
    arguments give the same images.

    >>> source = synthetic_source(num_classes=3, train_size=30, test_size=9)
    >>> np.bincount(source.test.labels)
    array([3, 3, 3])
    """
    rng = generator(SEED)
    waves = (rng.random((num_classes, channels, 2)) - 0.5) * 0.7
    rows, columns = np.meshgrid(np.arange(image_size), np.arange(image_size), indexing="ij")
    grid = np.stack([rows, columns], axis=-1)

    def draw(size: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(size, dtype=np.int32) % num_classes
        phases = rng.random(size)
        cycles = np.einsum("ijx,ncx->nijc", grid, waves[labels]) + phases[:, None, None, None]
        # Box-Muller, because only `random` is drawn from (kdtheory/datasets/sampling.py).
        radius = np.sqrt(-2 * np.log1p(-rng.random(cycles.shape)))
        gaussian = radius * np.cos(2 * np.pi * rng.random(cycles.shape))
        pixels = 128 + 64 * np.cos(2 * np.pi * cycles) + noise * gaussian
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8), labels

    train_images, train_labels = draw(train_size)
    test_images, test_labels = draw(test_size)
    return Source(
        name="synthetic",
        class_names=tuple(f"pattern {index}" for index in range(num_classes)),
        train=SourceSplit.from_arrays("train", train_images, train_labels),
        test=SourceSplit.from_arrays("test", test_images, test_labels),
        validation=None,
        provenance={"source": "made by kdtheory (not real data)", "version": "1"},
    )
