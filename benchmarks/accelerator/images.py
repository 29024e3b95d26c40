"""The images: CIFAR-100 from a TFDS folder, or made-up ones of the same size."""

from pathlib import Path

import numpy as np

from benchmarks.accelerator.settings import Settings
from kdtheory.datasets import ImageDataset, Source, SourceSplit, load, register_source
from kdtheory.datasets.sources import SOURCES

_MADE_UP = "made_up_images"


def _made_up(settings: Settings) -> Source:
    """Return a pattern for each class with noise of every pixel, in uint8 from the start."""
    rng = np.random.default_rng(0)
    shape = (settings.side, settings.side, 3)
    patterns = rng.integers(96, 160, (settings.classes, *shape), np.uint8)

    def split(name: str, count: int) -> SourceSplit:
        labels = np.arange(count, dtype=np.int32) % settings.classes
        images = rng.integers(0, 96, (count, *shape), np.uint8)
        images += patterns[labels] - np.uint8(48)
        return SourceSplit.from_arrays(name, images, labels)

    return Source(
        name=_MADE_UP,
        class_names=tuple(f"pattern {index}" for index in range(settings.classes)),
        train=split("train", settings.images),
        test=split("test", settings.test_images),
        validation=None,
        provenance={"source": "made by benchmarks.accelerator (not real data)"},
    )


def dataset(settings: Settings, folder: Path | None, task: str = "full") -> ImageDataset:
    """Return the images of a task: "full", or "first_half" for the kernels of one output."""
    if folder is None:
        SOURCES.pop(_MADE_UP, None)
        register_source(_MADE_UP)(lambda: _made_up(settings))
    return load(
        _MADE_UP if folder is None else "cifar100", task=task, data_dir=folder,
        train_size=settings.images, validation_size=0, test_size=settings.test_images,
    )  # fmt: skip
