"""Arrays in one .npz file: npz:FILE."""

import os
from pathlib import Path

import numpy as np
from numpy.lib.format import MAGIC_PREFIX

from kdtheory.archives import DAMAGE, load_arrays
from kdtheory.array_files import opened
from kdtheory.datasets.array_source import array_source
from kdtheory.datasets.source import Source
from kdtheory.errors import InputError

#: Begins the name of such a file: "npz:FILE".
NPZ_PREFIX = "npz:"

#: What the arrays of each split may be called: (images or features, labels).
NAMES = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("x", "y"),
              ("images", "labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
    "validation": (("x_val", "y_val"), ("val_images", "val_labels"),
                   ("validation_images", "validation_labels")),
}  # fmt: skip


def npz_source(path: str | os.PathLike[str]) -> Source:
    """Return an .npz file as a source; `load("npz:FILE")` uses it.

    It holds x_train and y_train (or train_images and train_labels, images and labels, x and y), and
    optionally the same of "test" and of "val", and class_names. Without a test split `load` needs
    its `test_fraction`. Nothing in the file is executed.

    Raises:
      InputError: no such file, or arrays that are not these.

    >>> npz_source("/nonexistent.npz")
    Traceback (most recent call last):
    kdtheory.errors.InputError: cannot read /nonexistent.npz: No such file or directory
    """
    file = Path(path).expanduser()
    with opened(file) as content:
        if content.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
            raise InputError(f"{file} is one array; wanted: an .npz file of named arrays")
        try:
            arrays = load_arrays(content, file)
        except InputError:
            raise
        except DAMAGE as error:
            raise InputError(f"{file} cannot be read as .npz: {error}") from error
    splits = {}
    for role, pairs in NAMES.items():
        found = [pair for pair in pairs if set(pair) <= set(arrays)]
        if len(found) > 1:
            raise InputError(f"{file} has two {role} splits, {found[0][0]} and {found[1][0]}")
        splits[role] = (arrays[found[0][0]], arrays[found[0][1]]) if found else None
    if splits["train"] is None:
        allowed = ", ".join(f"{x} with {y}" for x, y in NAMES["train"])
        raise InputError(f"{file} has {', '.join(sorted(arrays))}; wanted: {allowed}")
    names = arrays.get("class_names")
    return array_source(
        f"{NPZ_PREFIX}{path}",
        splits,
        class_names=None if names is None else [str(name) for name in np.atleast_1d(names)],
        provenance={"source": f"arrays in {file.name}", "version": f"{file.stat().st_size} bytes"},
    )
