"""Arrays as a source: images or rows of features, with labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kdtheory.datasets.images import checked_images
from kdtheory.datasets.labels import label_array
from kdtheory.datasets.source import Source, SourceSplit
from kdtheory.errors import InputError


def array_source(
    name: str,
    splits: Mapping[str, tuple[Any, Any] | None],
    *,
    class_names: Sequence[str] | None = None,
    provenance: Mapping[str, str],
) -> Source:
    """Return arrays as a source.

    Args:
      name: of the source.
      splits: (images or features, labels) of "train", and of "test" and "validation" or None.
      class_names: of the classes, in the order of the labels' distinct values.
      provenance: where the arrays came from.

    Raises:
      InputError: as `from_arrays`.
    """
    given = {role: pair for role, pair in splits.items() if pair is not None}
    labels = {role: _labels(pair[1], role) for role, pair in given.items()}
    values = np.unique(labels["train"])
    names = [str(value) for value in values] if class_names is None else list(class_names)
    if len(values) < 2 or len(names) != len(values):
        raise InputError(
            f"{name} has {len(values)} distinct training labels"
            + (f" and {len(names)} class names" if class_names is not None else "")
            + "; wanted: one class name for each of at least 2"
        )
    made = {}
    for role, (x, _) in given.items():
        place = np.minimum(np.searchsorted(values, labels[role]), len(values) - 1)
        if (values[place] != labels[role]).any():
            stranger = labels[role][values[place] != labels[role]][0]
            raise InputError(f"the {role} label {stranger!s} is not among the training labels")
        made[role] = SourceSplit.from_arrays(role, images_of(x, f"{role} data"), place)
    return Source(
        name=name,
        class_names=tuple(names),
        train=made["train"],
        test=made.get("test"),
        validation=made.get("validation"),
        provenance=dict(provenance),
    )


def images_of(x: Any, what: str) -> np.ndarray:
    """Return images (n, h, w, c); grey ones may lack the last axis, features (n, f) lack two.

    Features are float32 images (n, 1, 1, f).

    Raises:
      InputError: neither.

    >>> images_of(np.ones((5, 3)), "data").shape
    (5, 1, 1, 3)
    >>> images_of(np.ones((5, 8, 8), np.uint8), "data").shape
    (5, 8, 8, 1)
    """
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise InputError(f"the {what} must be one array: {error}") from error
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 2:
        return checked_images(array, f"the {what}")
    if array.dtype.kind not in "biuf":
        raise InputError(f"the {what} must be numbers, got {array.dtype}")
    return checked_images(array.astype(np.float32)[:, None, None, :], f"the {what}")


def _labels(y: Any, role: str) -> np.ndarray:
    """Return labels of shape (n,): distinct values are classes."""
    array = label_array(y, f"the {role} labels")
    if array.dtype.kind == "O" and all(isinstance(label, str) for label in array.ravel()):
        array = array.astype(str)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    one_hot = array.ndim == 2 and np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()
    if one_hot:
        array = array.argmax(axis=1)
    if array.ndim != 1:
        raise InputError(
            f"the {role} labels must have the shape (n,) or be one-hot rows, got {array.shape}"
        )
    whole = array.dtype.kind == "f" and np.isfinite(array).all() and (array % 1 == 0).all()
    if whole:
        array = array.astype(np.int64)
    if array.dtype.kind not in "biuU":
        raise InputError(
            f"the {role} labels must be whole numbers or texts, got {array.dtype} such as "
            f"{array[0]!s}"
        )
    return array
