"""Which of a source's examples a problem is made of: classes, held-out splits, sizes, noise."""

import dataclasses
from typing import Any, NamedTuple, get_args

import numpy as np
from jaxtyping import Int32, Int64

from kdtheory.arguments import is_number
from kdtheory.datasets.sampling import NoiseKind, add_label_noise, generator, stratified_order
from kdtheory.datasets.source import Source, SourceSplit
from kdtheory.datasets.tasks import Task, check_task, make_task
from kdtheory.errors import InputError, unknown_name

#: The part of the training split that is held out for validation by default.
VALIDATION_FRACTION = 0.1

# Second entries of the seeds, so that the choices are independent of each other.
_SUBSET, _NOISE, _TEST, _SAMPLE = 0, 1, 2, 3
# Test and stored validation examples are chosen alike for every `seed`.
_FIXED_SEED = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """Which of a source's examples are wanted: `kdtheory.datasets.load` says what each means.

    Raises:
      InputError: naming the choice that makes no sense, and what is allowed, before any file is
        read.

    >>> Choices(label_noise=2.0)
    Traceback (most recent call last):
    kdtheory.errors.InputError: label_noise must be between 0 and 1, got 2.0
    """

    task: str = "full"
    train_size: int | None = None
    validation_size: int | None = None
    test_size: int | None = None
    test_fraction: float | None = None
    label_noise: float = 0.0
    noise_kind: str = "symmetric"
    seed: int = 0
    certify_size: int = 0

    def __post_init__(self) -> None:
        for name in ("train_size", "validation_size", "test_size", "seed", "certify_size"):
            number = getattr(self, name)
            if number is not None and not isinstance(number, int | np.integer):
                raise InputError(f"{name} must be a whole number, got {number!r}")
        if not is_number(self.label_noise) or not 0.0 <= self.label_noise <= 1.0:
            raise InputError(f"label_noise must be between 0 and 1, got {self.label_noise!r}")
        if self.noise_kind not in get_args(NoiseKind):
            raise unknown_name("noise_kind", str(self.noise_kind), get_args(NoiseKind))
        for name in ("seed", "certify_size"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}")
        fraction = self.test_fraction
        if fraction is not None and not (is_number(fraction) and 0 < fraction < 1):
            raise InputError(f"test_fraction must lie between 0 and 1, got {fraction!r}")
        check_task(self.task)


class Selection(NamedTuple):
    """The chosen examples, labelled by the task's classes; no image is read yet."""

    train: SourceSplit
    """With clean labels."""
    validation: SourceSplit
    test: SourceSplit
    noisy_labels: Int32[np.ndarray, " n"]
    """The training split's, with noise."""
    class_names: tuple[str, ...]
    """Of the task."""
    provenance: dict[str, Any]
    sample: SourceSplit | None = None
    """What is set apart for certificates, in the order in which it was drawn."""


def select(source: Source, choices: Choices) -> Selection:
    """Return the examples that are wanted.

    Raises:
      InputError: sizes above the data, no split to test on, or a test fraction where there is
        one.

    >>> from kdtheory.datasets.digits import digits_source
    >>> wanted = Choices(task="classes:3,5", train_size=20, label_noise=0.1, noise_kind="pair")
    >>> chosen = select(digits_source(), wanted)
    >>> np.bincount(chosen.train.labels), int((chosen.noisy_labels != chosen.train.labels).sum())
    (array([10, 10]), 2)
    """
    task = make_task(choices.task, source.class_names)
    sample, source = _set_apart(source, task, choices)
    train, test = _test_split(source, choices.test_fraction)
    train, test = _wanted(train, task), _wanted(test, task)
    validation = None if source.validation is None else _wanted(source.validation, task)

    train_rows, held_out_rows = _divide(train, source.name, choices, hold_out=validation is None)
    if validation is None:
        chosen_validation = train.select(held_out_rows, f"held out from: {train.origin}")
    else:
        chosen_validation = _first(validation, "validation_size", choices.validation_size)
    chosen = [train.select(train_rows, train.origin), chosen_validation]
    chosen.append(_first(test, "test_size", choices.test_size))
    train, validation, test = (_relabelled(split, task) for split in chosen)
    noisy = train.labels
    if choices.label_noise > 0:
        noisy = add_label_noise(
            train.labels,
            fraction=choices.label_noise,
            num_classes=len(task.class_names),
            rng=generator(choices.seed, _NOISE),
            kind=choices.noise_kind,
        )
    splits = {"train": train, "validation": validation, "test": test}
    if sample is not None:
        splits["sample"] = sample = _relabelled(sample, task)
    provenance = {
        **source.provenance,
        "seed": choices.seed,
        "sizes": {name: len(split.labels) for name, split in splits.items()},
        "origins": {name: split.origin for name, split in splits.items()},
        "label_noise": choices.label_noise,
        "noise_kind": choices.noise_kind,
        "num_classes": len(task.class_names),
        "noisy_labels": int((noisy != train.labels).sum()),
    }
    return Selection(train, validation, test, noisy, task.class_names, provenance, sample)


def _set_apart(source: Source, task: Task, choices: Choices) -> tuple[SourceSplit | None, Source]:
    """Return examples drawn at random, in the order drawn, and the source without them.

    All examples are alike in the draw, whatever their class: of independent examples both parts are
    independent then, which no class-balanced choice leaves them. So it comes before any other.
    """
    size = choices.certify_size
    if not size:
        return None, source
    train = source.train
    rows = np.flatnonzero(task.class_map[train.labels] >= 0)
    if size >= len(rows):
        raise InputError(
            f"certify_size must be below {len(rows)} (the training examples of {source.name!r}, "
            f"of which some must be left to train on), got {size}"
        )
    drawn = rows[np.argsort(generator(choices.seed, _SAMPLE).random(len(rows)), kind="stable")]
    drawn = drawn[:size]
    rest = np.setdiff1d(np.arange(len(train.labels)), drawn)
    origin = f"{size} set apart from: {train.origin} (at random, seed {choices.seed})"
    left = train.select(rest, f"{train.origin}, but for {size} set apart")
    return train.select(drawn, origin), dataclasses.replace(source, train=left)


def _test_split(source: Source, test_fraction: float | None) -> tuple[SourceSplit, SourceSplit]:
    """Return the splits to train and to test on; the second is held out where there is none."""
    if source.test is not None:
        if test_fraction is not None:
            raise InputError(
                f"data set {source.name!r} has a split to test on ({source.test.origin!r}): "
                "leave test_fraction out"
            )
        return source.train, source.test
    if test_fraction is None:
        raise InputError(
            f"data set {source.name!r} has no labelled split 'test' or 'validation' to test on: "
            "give test_fraction (such as 0.2), the part of 'train' that is held out for it"
        )
    available = len(source.train.labels)
    size = round(test_fraction * available)
    if not 1 <= size < available:
        raise InputError(
            f"test_fraction {test_fraction} of the {available} training examples of "
            f"{source.name!r} leaves one side empty"
        )
    order = stratified_order(source.train.labels, generator(_FIXED_SEED, _TEST))
    origin, rule = source.train.origin, f"stratified, seed {_FIXED_SEED}"
    # Sorted, so that both keep the stored order.
    return (
        source.train.select(np.sort(order[size:]), f"{origin}, but for {size} to test ({rule})"),
        source.train.select(np.sort(order[:size]), f"{size} held out from: {origin} ({rule})"),
    )


def _wanted(split: SourceSplit, task: Task) -> SourceSplit:
    """Return the split without the examples of classes that the task leaves out."""
    if (task.class_map >= 0).all():
        return split
    rows = np.flatnonzero(task.class_map[split.labels] >= 0)
    if not len(rows):
        raise InputError(f"no example of the task's classes is stored as {split.origin!r}")
    return split.select(rows, split.origin)


def _relabelled(split: SourceSplit, task: Task) -> SourceSplit:
    return dataclasses.replace(split, labels=task.class_map[split.labels])


def _divide(
    train: SourceSplit, name: str, choices: Choices, *, hold_out: bool
) -> tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " validation"]]:
    """Return the rows for training and those held out, both from the source's training split."""
    available = len(train.labels)
    train_size, validation_size = choices.train_size, choices.validation_size
    if train_size is not None and not 1 <= train_size <= available:
        raise InputError(
            f"train_size must be 1 to {available} (the training examples of {name!r}), "
            f"got {train_size}"
        )
    if not hold_out:
        held_out = 0
    elif validation_size is None:
        left = available - (train_size or 1)
        held_out = min(int(VALIDATION_FRACTION * available), left)
    else:
        most = available - (train_size or 1)
        if not 0 <= validation_size <= most:
            raise InputError(
                f"validation_size must be 0 to {most} (of {available} training examples of "
                f"{name!r}, {train_size or 1} at least for training), got {validation_size}"
            )
        held_out = validation_size
    if train_size is None:
        train_size = available - held_out
    order = stratified_order(train.labels, generator(choices.seed, _SUBSET))
    # Training from one end and validation from the other: the validation examples do not depend
    # on train_size.
    return order[:train_size], order[available - held_out :]


def _first(split: SourceSplit, argument: str, size: int | None) -> SourceSplit:
    """Return the first `size` examples of the split's fixed stratified order."""
    available = len(split.labels)
    if size is not None and not 1 <= size <= available:
        raise InputError(
            f"{argument} must be 1 to {available} (the examples stored as {split.origin!r}), "
            f"got {size}"
        )
    rows = stratified_order(split.labels, generator(_FIXED_SEED))[:size]
    return split.select(rows, split.origin)
