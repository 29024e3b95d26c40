"""`load`: one ImageDataset out of any source, task, size and label noise."""

import dataclasses
import os

import numpy as np

from kdtheory.datasets.fingerprint import fingerprint
from kdtheory.datasets.image_dataset import ImageDataset, Split
from kdtheory.datasets.pixel_statistics import pixel_statistics
from kdtheory.datasets.selection import Choices, select
from kdtheory.datasets.source import OnProgress, Source, SourceSplit
from kdtheory.datasets.sources import open_source


def load(
    name: str,
    *,
    task: str = "full",
    data_dir: str | os.PathLike[str] | None = None,
    train_size: int | None = None,
    validation_size: int | None = None,
    test_size: int | None = None,
    test_fraction: float | None = None,
    label_noise: float = 0.0,
    noise_kind: str = "symmetric",
    seed: int = 0,
    certify_size: int = 0,
    image_size: tuple[int, int] | None = None,
    on_progress: OnProgress | None = None,
) -> ImageDataset:
    """Return an image classification problem.

    Args:
      name: "digits" (scikit-learn's 1,797 images of 8 by 8), "synthetic" (made up, for tests), a
        registered source, an image folder as "folder:ROOT", or any TensorFlow Datasets image
        classification set, as "name", "name/config" or "name/config:version".
      task: see `kdtheory.datasets.TASKS`: "full", "ten", "coarse_label", "animals", "first_half",
        "odd_even", "even_odd"; or "classes:A,B,..." for some of the classes alone, by index, range
        or name.
      data_dir: where TFDS sets are prepared. Default: the environment variable KDTHEORY_DATA_DIR,
        otherwise TFDS's own default. Used by TFDS sets only.
      train_size: number of training examples. Default: all that validation leaves.
      validation_size: number of validation examples. They come from the source's own validation
        split if it has one beside its test split; otherwise they are held out from its training
        split, disjoint from `train`. Default: all of the source's own split; otherwise a tenth of
        the training split, or what `train_size` leaves of it, if that is less (nothing, where
        `train_size` takes all).
      test_size: number of test examples. Default: all.
      test_fraction: for a source without a labelled split to test on, and for no other: the part of
        its training split, above 0 and below 1, that is held out for testing, before anything else
        is chosen.
      label_noise: the fraction of training labels that is replaced by another class, after the
        task's mapping. Validation and test labels stay clean.
      noise_kind: "symmetric" (a uniformly random other class) or "pair" (the next class).
      seed: chooses training and held-out examples and the noise. Test examples do not depend on it,
        but where `test_fraction` holds them out of what `certify_size` leaves.
      certify_size: number of training examples that are set apart before any other choice, as
        `sample`: drawn at random by `seed` whatever their class, and left in the order drawn, as a
        certificate needs them. All else is chosen from what is left.
      image_size: (height, width) that images are resized to (bilinear); required where the source's
        images differ in size. TFDS sets and image folders only.
      on_progress: called with (done, total) images read.

    Subsets are stratified by the source's classes, whatever the task, and nested: for one seed, the
    first m training examples are those of `train_size=m`, and equally for `test_size`. The same
    arguments give the same arrays on every machine.

    Raises:
      InputError: unknown name or task, sizes above the data, a fraction outside [0, 1], no split
        to test on, or files that are missing or damaged.

    >>> dataset = load("digits", task="even_odd", train_size=512, label_noise=0.1)
    >>> len(dataset.train), len(dataset.validation), len(dataset.test)
    (512, 129, 500)
    >>> dataset.class_names
    ('odd classes', 'even classes')
    >>> int(dataset.train.flipped.sum())
    51
    """
    choices = Choices(
        task=task, train_size=train_size, validation_size=validation_size, test_size=test_size,
        test_fraction=test_fraction, label_noise=label_noise, noise_kind=noise_kind, seed=seed,
        certify_size=certify_size,
    )  # fmt: skip
    source = open_source(name, data_dir=data_dir, image_size=image_size)
    # A registered source may call itself otherwise.
    return load_source(source, choices, name=name, on_progress=on_progress)


def load_source(
    source: Source, choices: Choices, *, name: str, on_progress: OnProgress | None = None
) -> ImageDataset:
    """Return an image classification problem of an opened source, under a name.

    >>> from kdtheory.datasets.digits import digits_source
    >>> len(load_source(digits_source(), Choices(train_size=20), name="mine").train)
    20
    """
    chosen = select(source, choices)
    sizes = chosen.provenance["sizes"]
    reading = Reading(sum(sizes.values()), on_progress)
    clean = reading.split(chosen.train)
    train = dataclasses.replace(clean, labels=chosen.noisy_labels)
    validation, test = reading.split(chosen.validation), reading.split(chosen.test)
    sample = None if chosen.sample is None else reading.split(chosen.sample)
    # Of the training split alone: a sample has no part in its own images.
    mean, std = pixel_statistics(train.images)
    return ImageDataset(
        name=name,
        task=choices.task,
        train=train,
        validation=validation,
        test=test,
        class_names=chosen.class_names,
        mean=mean,
        std=std,
        sample=sample,
        provenance={
            **chosen.provenance,
            "name": name,
            "task": choices.task,
            "image_size": list(train.images.shape[1:]),
            "sha256": fingerprint(train, validation, test, *([] if sample is None else [sample])),
        },
    )


class Reading:
    """Reads splits one after another and reports the progress over all of them."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._total = total
        self._done = 0
        self._on_progress = on_progress

    def _advance(self, count: int) -> None:
        self._done += count
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)

    def split(self, split: SourceSplit) -> Split:
        """Return the split with all its images, in host memory."""
        images = split.read_images(np.arange(len(split.labels)), self._advance)
        return Split(images, split.labels, split.labels, split.places)
