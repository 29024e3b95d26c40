"""What `load` needs to know of a data source: cheap labels, and images on demand."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int

from kdtheory.datasets.images import checked_images
from kdtheory.datasets.labels import class_indices, label_array
from kdtheory.errors import InputError

#: (done, total) examples read; called now and then while images are read.
OnProgress: TypeAlias = Callable[[int, int], None]

#: (count) examples read since the last call.
Advance: TypeAlias = Callable[[int], None]


@dataclasses.dataclass(frozen=True, eq=False)
class SourceSplit:
    """One stored split."""

    origin: str
    """Which stored split this is, in words for provenance."""
    labels: np.ndarray
    """int32 of shape (n,), the source's own class indices, in stored order, or what a `Source`
    makes them of: see `kdtheory.datasets.labels.class_indices`."""
    read_images: Callable[[Int[np.ndarray, " m"], Advance], np.ndarray]
    """Takes indices of shape (m,) and returns images of shape (m, h, w, c), uint8 or floating (see
    `kdtheory.datasets.images.checked_images`), so that only the examples that were chosen need
    decoding. Its second argument is to be called with the number of images read since the last
    call."""
    random_access: bool = True
    """Whether a few images can be read without reading all; a stream needs it."""
    ids: np.ndarray | None = None
    """int64 of shape (n,), each example's place in the stored split; None for 0, 1, 2, ..."""

    @property
    def places(self) -> Int[np.ndarray, " n"]:
        """Each example's place in the stored split, int64 of shape (n,)."""
        return np.arange(len(self.labels)) if self.ids is None else self.ids

    @classmethod
    def from_arrays(cls, origin: str, images: Any, labels: Any) -> "SourceSplit":
        """Return a split whose images are already in memory.

        Raises:
          InputError: what are no images (see `kdtheory.datasets.images.checked_images`), or
            another number of labels.
        """
        held = checked_images(images, f"the images of {origin!r}")
        given = label_array(labels, f"the labels of {origin!r}")
        if len(given) != len(held):
            raise InputError(f"{origin!r} has {len(held)} images and {len(given)} labels")

        def read_images(rows: Int[np.ndarray, " m"], advance: Advance) -> np.ndarray:
            advance(len(rows))
            return held[rows]

        return cls(origin=origin, labels=given, read_images=read_images)

    def select(self, rows: Int[np.ndarray, " m"], origin: str) -> "SourceSplit":
        """Return the split of these rows alone, under another origin; reads no image.

        >>> pixels = np.arange(3, dtype=np.uint8)[:, None, None, None]
        >>> split = SourceSplit.from_arrays("all", pixels, np.arange(3, dtype=np.int32))
        >>> last = split.select(np.array([2, 0]), "two of them")
        >>> last.labels, last.read_images(np.array([0]), lambda count: None).ravel()
        (array([2, 0], dtype=int32), array([2], dtype=uint8))
        >>> last.select(np.array([1]), "one of them").ids
        array([0])
        """

        def read_images(chosen: Int[np.ndarray, " m"], advance: Advance) -> np.ndarray:
            return self.read_images(rows[chosen], advance)

        return dataclasses.replace(
            self,
            origin=origin,
            labels=self.labels[rows],
            read_images=read_images,
            ids=self.places[rows],
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A whole stored data set, before any choice of task, sizes or noise.

    `validation` is None where the source has no validation split of its own beside its test
    split; `load` then holds one out from `train`. `test` is None where there is nothing to test on;
    `load` then holds out what its `test_fraction` says. The splits' labels become class indices
    here: see `kdtheory.datasets.labels.class_indices`.

    Raises:
      InputError: labels that are no classes.
    """

    name: str
    class_names: tuple[str, ...]
    train: SourceSplit
    test: SourceSplit | None
    validation: SourceSplit | None
    provenance: Mapping[str, str]

    def __post_init__(self) -> None:
        for role in ("train", "test", "validation"):
            split = getattr(self, role)
            if split is not None:
                what = f"{self.name}: labels of {split.origin!r}"
                indices = class_indices(split.labels, self.class_names, what)
                object.__setattr__(self, role, dataclasses.replace(split, labels=indices))
