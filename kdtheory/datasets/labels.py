"""What comes in as class labels: class indices, or what certainly means them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32

from kdtheory.errors import InputError, unknown_name


def class_indices(
    labels: Any, class_names: Sequence[str], what: str = "labels"
) -> Int32[np.ndarray, " n"]:
    """Return labels as class indices 0 to k - 1, int32 of shape (n,).

    Taken as they are: integers 0 to k - 1, also as (n, 1), as whole floating numbers or, of two
    classes, as booleans. Converted, because it is certain: the names of classes, one-hot rows
    (n, k), and -1 and +1 of two classes (the first class is that of -1). Nothing else is.

    Args:
      labels: anything that `numpy.asarray` makes an array of.
      class_names: the k classes.
      what: names the labels in errors.

    Raises:
      InputError: what cannot be class indices; the line says what is allowed.

    >>> names = ("cat", "dog")
    >>> class_indices(["dog", "cat"], names), class_indices(np.array([-1, 1]), names)
    (array([1, 0], dtype=int32), array([0, 1], dtype=int32))
    >>> class_indices(np.array([1, 2]), names)
    Traceback (most recent call last):
    kdtheory.errors.InputError: labels must be 0 to 1 for 2 classes, got 1 to 2; ... subtract 1
    """
    k = len(class_names)
    array = label_array(labels, what)
    if array.dtype.kind == "O" and all(isinstance(label, str) for label in array.ravel()):
        array = array.astype(str)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.shape[1] == k:
        return _of_one_hot(array, what)
    if array.ndim != 1:
        raise InputError(
            f"{what} must have the shape (n,), or be one-hot rows (n, {k}) of the {k} classes, got "
            f"{array.shape}"
        )
    if array.dtype.kind == "U":
        return _of_names(array, class_names, what)
    return in_range(whole_numbers(array, what), k, what)


def label_array(labels: Any, what: str) -> np.ndarray:
    """Return labels as an array with a first axis of examples, or raise InputError.

    >>> label_array([0, 1], "labels")
    array([0, 1])
    """
    try:
        array = np.asarray(labels)
    except ValueError as error:  # lists of several lengths
        raise InputError(f"{what} must be one label an example: {error}") from error
    if array.ndim == 0:
        raise InputError(f"{what} must be one label an example, got {labels!r:.80}")
    return array


def whole_numbers(labels: np.ndarray, what: str) -> np.ndarray:
    """Return labels of whole numbers as integers, or raise InputError.

    >>> whole_numbers(np.array([0.0, 2.0]), "labels")
    array([0, 2])
    """
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels % 1 == 0).all():
        return labels.astype(np.int64)
    if labels.dtype.kind not in "biu" and labels.size:
        raise InputError(
            f"{what} must be whole numbers or the names of classes, got {labels.dtype} such as "
            f"{labels.ravel()[0]!s}"
        )
    return labels.astype(np.int64)


def in_range(labels: np.ndarray, k: int, what: str) -> Int32[np.ndarray, " n"]:
    """Return integer labels as class indices 0 to k - 1, or raise InputError.

    >>> in_range(np.array([1, -1]), 2, "labels")
    array([1, 0], dtype=int32)
    """
    if not len(labels):
        return labels.astype(np.int32)
    low, high = int(labels.min()), int(labels.max())
    if k == 2 and low == -1 and not (set(np.unique(labels).tolist()) - {-1, 1}):
        return ((labels + 1) // 2).astype(np.int32)
    if low < 0 or high >= k:
        remedy = "; these count from 1: subtract 1" if (low, high) == (1, k) else ""
        raise InputError(
            f"{what} must be 0 to {k - 1} for {k} classes, got {low} to {high}{remedy}"
        )
    return labels.astype(np.int32)


def _of_one_hot(rows: np.ndarray, what: str) -> Int32[np.ndarray, " n"]:
    number = rows.dtype.kind in "biuf"
    if not number or not (((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all()):
        raise InputError(
            f"{what} of shape {rows.shape} must be one-hot rows; of other rows, such as a "
            "teacher's probabilities, take the argmax(axis=1)"
        )
    return rows.argmax(axis=1).astype(np.int32)


def _of_names(labels: np.ndarray, class_names: Sequence[str], what: str) -> Int32[np.ndarray, " n"]:
    index = {name: position for position, name in enumerate(class_names)}
    for label in np.unique(labels).tolist():
        if label not in index:
            raise unknown_name(f"class in the {what}:", label, class_names)
    return np.array([index[label] for label in labels.tolist()], np.int32)
