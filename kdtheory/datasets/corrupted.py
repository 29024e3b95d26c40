"""What a corrupted teacher is trained on, while its student keeps the data set's own split."""

import dataclasses
from typing import Literal, get_args

import numpy as np

from kdtheory.datasets.image_dataset import ImageDataset, Split
from kdtheory.datasets.sampling import add_label_noise, generator
from kdtheory.errors import InputError, unknown_name

#: What a teacher can be trained on; see `teacher_split`.
TeacherData = Literal[
    "train", "validation", "symmetric_noise", "pair_noise", "random_labels", "permuted_classes"
]

# Third entries of the seeds: independent of the choices that `load` makes with the same seed.
_NOISE, _RANDOM, _PERMUTATION = 10, 11, 12


def teacher_split(
    dataset: ImageDataset, kind: str, *, fraction: float | None = None, seed: int = 0
) -> Split:
    """Return the split that a teacher is trained on.

    Args:
      kind: what the teacher sees:

        - "train": the student's training split; nothing is corrupted.
        - "validation": the wrong split: the teacher sees no example of the student's.
        - "symmetric_noise", "pair_noise": the training split, with a further `fraction` of its
          labels changed as `add_label_noise` does; the student's labels stay.
        - "random_labels": every training label drawn uniformly from all classes: a teacher that
          knows nothing but its examples.
        - "permuted_classes": every class renamed to another, by one cyclic shift of a random order:
          a teacher that is consistent, and always wrong.
      fraction: of the two noises, in (0, 1]; None for every other kind.
      seed: of the noise.

    `clean_labels` are the data set's own, so that `Split.flipped` marks what is wrong.

    Raises:
      InputError: an unknown kind, a fraction where there is none or that is missing or out of
        range, or an empty validation split.

    >>> from kdtheory.datasets import load
    >>> dataset = load("digits", train_size=100)
    >>> int(teacher_split(dataset, "symmetric_noise", fraction=0.4).flipped.sum())
    40
    >>> bool(teacher_split(dataset, "permuted_classes").flipped.all())
    True
    """
    if kind not in get_args(TeacherData):
        raise unknown_name("teacher data", kind, get_args(TeacherData))
    noise = {"symmetric_noise": "symmetric", "pair_noise": "pair"}
    if kind not in noise and fraction is not None:
        raise InputError(f"teacher data {kind!r} takes no fraction, got {fraction}")
    train, classes = dataset.train, dataset.num_classes
    if kind == "train":
        return train
    if kind == "validation":
        if not len(dataset.validation):
            raise InputError(
                f"teacher data 'validation' needs a validation split; {dataset.name!r} was loaded "
                "without one (see validation_size)"
            )
        return dataset.validation
    if kind in noise:
        if fraction is None or not 0 < fraction <= 1:
            raise InputError(
                f"teacher data {kind!r} needs a fraction above 0 and at most 1, got {fraction}"
            )
        labels = add_label_noise(
            train.labels, fraction=fraction, num_classes=classes, rng=generator(seed, _NOISE),
            kind=noise[kind],
        )  # fmt: skip
    elif kind == "random_labels":
        drawn = generator(seed, _RANDOM).random(len(train))
        labels = np.floor(drawn * classes).astype(np.int32)
    else:
        order = np.argsort(generator(seed, _PERMUTATION).random(classes), kind="stable")
        renamed = np.empty(classes, np.int32)
        renamed[order] = np.roll(order, 1)
        labels = renamed[train.labels]
    return dataclasses.replace(train, labels=labels)
