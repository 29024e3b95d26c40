"""Data sets whose training images stay where they are stored, because they do not fit in memory."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Int32

from kdtheory.datasets.fingerprint import fingerprint
from kdtheory.datasets.image_dataset import Split, check_alike
from kdtheory.datasets.images import checked_images
from kdtheory.datasets.loading import Reading
from kdtheory.datasets.pixel_statistics import pixel_statistics
from kdtheory.datasets.selection import Choices, select
from kdtheory.datasets.source import OnProgress
from kdtheory.datasets.sources import open_source
from kdtheory.errors import InputError

#: Training images whose pixels give the mean, the deviation and the fingerprint.
SAMPLE_SIZE = 8192


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedSplit:
    """A training split whose images are read by row.

    - `labels`, `clean_labels`: int32 of shape (n,), as in `Split`.
    """

    labels: Int32[np.ndarray, " n"]
    clean_labels: Int32[np.ndarray, " n"]
    read_images: Callable[[Int[np.ndarray, " m"]], np.ndarray]
    """Indices of shape (m,) -> images of shape (m, h, w, c), uint8 or float32."""

    def __len__(self) -> int:
        """Return the number of examples, n."""
        return len(self.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedDataset:
    """One image classification problem; an `ImageDataset` but for its training images.

    `validation` and `test` are in host memory. `mean` and `std` are those of the first
    `SAMPLE_SIZE` training examples.
    """

    name: str
    task: str
    train: StreamedSplit
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: Float32[np.ndarray, " c"]
    std: Float32[np.ndarray, " c"]
    provenance: Mapping[str, Any]

    @property
    def num_outputs(self) -> int:
        """The number of logits, d: 1 for two classes, otherwise the number of classes."""
        return 1 if len(self.class_names) == 2 else len(self.class_names)


def load_streamed(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: tuple[int, int] | None = None,
    on_progress: OnProgress | None = None,
    **choices: Any,
) -> StreamedDataset:
    """Return the problem that `load` with these arguments gives, without reading it all.

    The examples and their order are those of `load`; `stream` makes batches of them. The mean, the
    deviation and the fingerprint take in all labels, all validation and test images, and the first
    `SAMPLE_SIZE` training images (the subset is stratified): all, if there are no more.

    Raises:
      InputError: as in `load`, and for tfrecord files, which cannot be read at random places.

    >>> dataset = load_streamed("digits", task="even_odd")
    >>> dataset.image_shape, dataset.num_outputs, dataset.train.read_images(np.array([5, 2])).shape
    ((8, 8, 1), 1, (2, 8, 8, 1))
    """
    wanted = Choices(**choices)
    source = open_source(name, data_dir=data_dir, image_size=image_size)
    if not source.train.random_access:
        raise InputError(
            f"data set {name!r} is stored as tfrecord, which is read from front to back: to stream "
            "it, prepare it as array_record"
        )
    chosen = select(source, wanted)
    sizes = chosen.provenance["sizes"]
    sampled = min(SAMPLE_SIZE, sizes["train"])
    reading = Reading(sampled + sizes["validation"] + sizes["test"], on_progress)
    sample = reading.split(chosen.train.select(np.arange(sampled), chosen.train.origin))
    validation, test = reading.split(chosen.validation), reading.split(chosen.test)
    mean, std = pixel_statistics(sample.images)
    for role, split in (("validation", validation), ("test", test)):
        if len(split):
            check_alike(split.images, sample.images, std, role)
    height, width, channels = sample.images.shape[1:]

    def read_images(rows: Int[np.ndarray, " m"]) -> np.ndarray:
        images = checked_images(chosen.train.read_images(rows, lambda count: None))
        if images.shape != (len(rows), *sample.images.shape[1:]):
            raise InputError(
                f"data set {name!r} gave images of shape {images.shape} for {len(rows)} examples "
                f"of shape {sample.images.shape[1:]}"
            )
        return images

    # All labels, beside images without pixels: only those of the sample are read here.
    labels = Split(
        np.zeros((sizes["train"], 0, 0, 0), np.uint8), chosen.noisy_labels, chosen.train.labels
    )
    return StreamedDataset(
        name=name,
        task=wanted.task,
        train=StreamedSplit(chosen.noisy_labels, chosen.train.labels, read_images),
        validation=validation,
        test=test,
        class_names=chosen.class_names,
        image_shape=(height, width, channels),
        mean=mean,
        std=std,
        provenance={
            **chosen.provenance,
            "name": name,
            "task": wanted.task,
            "image_size": [height, width, channels],
            "sampled": sampled,
            "sha256": fingerprint(sample, labels, validation, test),
        },
    )
