"""`load`: one ImageDataset out of any source, task, size and label noise."""

import hashlib
import os
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from kdtheory.datasets.digits import digits_source
from kdtheory.datasets.image_dataset import ImageDataset, Split
from kdtheory.datasets.sampling import add_label_noise, generator, stratified_order
from kdtheory.datasets.source import OnProgress, Source, SourceSplit
from kdtheory.datasets.synthetic import synthetic_source
from kdtheory.datasets.tasks import TASKS, Task, make_task
from kdtheory.datasets.tfds import tfds_source
from kdtheory.errors import InputError, unknown_name

#: The sources by name; every other name is looked up in TensorFlow Datasets. `register_source`
#: adds one.
SOURCES: dict[str, Callable[[], Source]] = {
    "digits": digits_source,
    "synthetic": synthetic_source,
}


def register_source(name: str) -> Callable[[Callable[[], Source]], Callable[[], Source]]:
    """Return a decorator that makes a data set of your own available to `load` under a name.

    The decorated function takes nothing and returns a `Source`; see `SourceSplit.from_arrays`.

    Raises:
        InputError: if the name is taken.

    >>> @register_source("two_grey_squares")
    ... def two_grey_squares():
    ...     images = np.array([0, 255] * 4, np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
    ...     split = SourceSplit.from_arrays("made up", images, np.array([0, 1] * 4, np.int32))
    ...     return Source(name="two_grey_squares", class_names=("dark", "light"), train=split,
    ...                   test=split, validation=None, provenance={"source": "made up"})
    >>> load("two_grey_squares", validation_size=0).class_names
    ('dark', 'light')
    >>> del SOURCES["two_grey_squares"]
    """

    def register(make_source: Callable[[], Source]) -> Callable[[], Source]:
        if name in SOURCES:
            raise InputError(f"a data set named {name!r} exists already")
        SOURCES[name] = make_source
        return make_source

    return register


#: The part of the training split that is held out for validation by default.
VALIDATION_FRACTION = 0.1

# Second entries of the seeds, so that the choices are independent of each other.
_SUBSET, _NOISE = 0, 1
# Test and stored validation examples are chosen alike for every `seed`.
_FIXED_SEED = 0


def load(
    name: str,
    *,
    task: str = "full",
    data_dir: str | os.PathLike[str] | None = None,
    train_size: int | None = None,
    validation_size: int | None = None,
    test_size: int | None = None,
    label_noise: float = 0.0,
    seed: int = 0,
    image_size: tuple[int, int] | None = None,
    on_progress: OnProgress | None = None,
) -> ImageDataset:
    """Return an image classification problem.

    - `name`: "digits" (scikit-learn's 1,797 images of 8 by 8), "synthetic" (made up, for tests), or
      any TensorFlow Datasets image classification set, as "name", "name/config" or
      "name/config:version".
    - `task`: see `kdtheory.datasets.TASKS`: "full", "ten", "first_half", "odd_even", "even_odd".
    - `data_dir`: where TFDS sets are prepared. Default: the environment variable
      KDTHEORY_DATA_DIR, otherwise TFDS's own default. Not used by "digits" and "synthetic".
    - `train_size`: number of training examples. Default: all that validation leaves.
    - `validation_size`: number of validation examples. They come from the source's own
      validation split if it has one beside its test split; otherwise they are held out from its
      training split, disjoint from `train`. Default: all of the source's own split; otherwise a
      tenth of the training split, or what `train_size` leaves of it, if that is less (nothing,
      where `train_size` takes all).
    - `test_size`: number of test examples. Default: all.
    - `label_noise`: the fraction of training labels that is replaced by a uniformly random other
      class, after the task's mapping. Validation and test labels stay clean.
    - `seed`: chooses training and held-out examples and the noise. Test examples do not
      depend on it.
    - `image_size`: (height, width) that images are resized to (bilinear); required where the
      source's images differ in size. TFDS sets only.
    - `on_progress`: called with (done, total) images read.

    Subsets are stratified by the source's classes, whatever the task, and nested: for one seed, the
    first m training examples are those of `train_size=m`, and equally for `test_size`. The same
    arguments give the same arrays on every machine.

    Raises:
        InputError: unknown name or task, sizes above the data, a fraction outside [0, 1], or
            files that are missing or damaged.

    >>> dataset = load("digits", task="even_odd", train_size=512, label_noise=0.1)
    >>> len(dataset.train), len(dataset.validation), len(dataset.test)
    (512, 129, 500)
    >>> dataset.class_names
    ('odd classes', 'even classes')
    >>> int((dataset.train.labels != dataset.train.clean_labels).sum())
    51
    """
    if not 0.0 <= label_noise <= 1.0:
        raise InputError(f"label_noise must be between 0 and 1, got {label_noise}")
    if seed < 0:
        raise InputError(f"seed must not be negative, got {seed}")
    if task not in TASKS:
        # Said before any file is read.
        raise unknown_name("task", task, TASKS)
    if name in SOURCES:
        if image_size is not None:
            raise InputError(f"data set {name!r} has one image size: image_size is for TFDS sets")
        source = SOURCES[name]()
    else:
        source = tfds_source(name, data_dir=data_dir, image_size=image_size)
    task_mapping = make_task(task, source.class_names)

    train_rows, held_out_rows = _divide(source, train_size, validation_size, seed)
    test_rows = _first(source.test, "test_size", test_size)
    if source.validation is None:
        validation_from, validation_rows = source.train, held_out_rows
        validation_origin = f"held out from: {source.train.origin}"
    else:
        validation_from = source.validation
        validation_rows = _first(source.validation, "validation_size", validation_size)
        validation_origin = source.validation.origin

    reading = _Reading(len(train_rows) + len(validation_rows) + len(test_rows), on_progress)
    train = reading.split(source.train, train_rows, task_mapping)
    validation = reading.split(validation_from, validation_rows, task_mapping)
    test = reading.split(source.test, test_rows, task_mapping)
    if label_noise > 0:
        noisy = add_label_noise(
            train.clean_labels,
            fraction=label_noise,
            num_classes=len(task_mapping.class_names),
            rng=generator(seed, _NOISE),
        )
        train = Split(train.images, noisy, train.clean_labels)

    mean, std = pixel_statistics(train.images)
    return ImageDataset(
        name=name,
        task=task,
        train=train,
        validation=validation,
        test=test,
        class_names=task_mapping.class_names,
        mean=mean,
        std=std,
        provenance={
            **source.provenance,
            "name": name,
            "task": task,
            "seed": seed,
            "sizes": {"train": len(train), "validation": len(validation), "test": len(test)},
            "origins": {
                "train": source.train.origin,
                "validation": validation_origin,
                "test": source.test.origin,
            },
            "label_noise": label_noise,
            "noisy_labels": int((train.labels != train.clean_labels).sum()),
            "image_size": list(train.images.shape[1:]),
            "sha256": fingerprint(train, validation, test),
        },
    )


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


def fingerprint(*splits: Split) -> str:
    """Return the SHA-256 over the splits' shapes, images, labels and clean labels, in hex.

    >>> image = np.zeros((1, 2, 2, 1), np.uint8)
    >>> zero, one = np.zeros(1, np.int32), np.ones(1, np.int32)
    >>> fingerprint(Split(image, zero, zero)) == fingerprint(Split(image, one, zero))
    False
    """
    digest = hashlib.sha256()
    for split in splits:
        for array in (split.images, split.labels, split.clean_labels):
            digest.update(repr(array.shape).encode())
            # "<": the same bytes on machines of either byte order.
            digest.update(
                np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
            )
    return digest.hexdigest()


def _divide(
    source: Source, train_size: int | None, validation_size: int | None, seed: int
) -> tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " validation"]]:
    """Return the rows for training and those held out, both from the source's training split."""
    available = len(source.train.labels)
    if train_size is not None and not 1 <= train_size <= available:
        raise InputError(
            f"train_size must be 1 to {available} (the training examples of {source.name!r}), "
            f"got {train_size}"
        )
    if source.validation is not None:
        held_out = 0
    elif validation_size is None:
        left = available - (train_size or 1)
        held_out = min(int(VALIDATION_FRACTION * available), left)
    else:
        most = available - (train_size or 1)
        if not 0 <= validation_size <= most:
            raise InputError(
                f"validation_size must be 0 to {most} (of {available} training examples of "
                f"{source.name!r}, {train_size or 1} at least for training), got {validation_size}"
            )
        held_out = validation_size
    if train_size is None:
        train_size = available - held_out
    order = stratified_order(source.train.labels, generator(seed, _SUBSET))
    # Training from one end and validation from the other: the validation examples do not depend
    # on train_size.
    return order[:train_size], order[available - held_out :]


def _first(split: SourceSplit, argument: str, size: int | None) -> Int64[np.ndarray, " m"]:
    """Return the rows of the first `size` examples of the split's fixed stratified order."""
    available = len(split.labels)
    if size is not None and not 1 <= size <= available:
        raise InputError(
            f"{argument} must be 1 to {available} (the examples stored as {split.origin!r}), "
            f"got {size}"
        )
    return stratified_order(split.labels, generator(_FIXED_SEED))[:size]


class _Reading:
    """Reads splits one after another and reports the progress over all of them."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._total = total
        self._done = 0
        self._on_progress = on_progress

    def _advance(self, count: int) -> None:
        self._done += count
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)

    def split(self, split: SourceSplit, rows: Int64[np.ndarray, " m"], task: Task) -> Split:
        images = split.read_images(rows, self._advance)
        labels = task.class_map[split.labels[rows]]
        return Split(images, labels, labels)
