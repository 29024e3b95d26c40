"""The data sources by name: embedded, registered by users, image folders, TFDS."""

import os
from collections.abc import Callable

import numpy as np

from kdtheory.datasets.array_file import NPZ_PREFIX, npz_source
from kdtheory.datasets.digits import digits_source
from kdtheory.datasets.image_folder import FOLDER_PREFIX, folder_source
from kdtheory.datasets.prepared import list_prepared, resolve_data_dir
from kdtheory.datasets.source import Source
from kdtheory.datasets.synthetic import synthetic_source
from kdtheory.datasets.table_file import (
    CSV_PREFIX,
    PARQUET_PREFIX,
    SAVED_PREFIX,
    table_source,
)
from kdtheory.datasets.tfds import base_name, require_known, tfds_source
from kdtheory.errors import InputError

#: The sources by name; `register_source` adds one. "folder:ROOT", "npz:FILE", "parquet:FILE",
#: "csv:FILE" and "hf:FOLDER" are files of one's own; other names are looked up in TensorFlow
#: Datasets.
SOURCES: dict[str, Callable[[], Source]] = {
    "digits": digits_source,
    "synthetic": synthetic_source,
}


def register_source(name: str) -> Callable[[Callable[[], Source]], Callable[[], Source]]:
    """Return a decorator that makes a data set of your own available to `load` under a name.

    The decorated function takes nothing and returns a `Source`; see `SourceSplit.from_arrays`.

    Raises:
      InputError: if the name is taken.

    >>> import numpy as np
    >>> from kdtheory.datasets import SourceSplit, load
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


def open_source(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: tuple[int, int] | None = None,
) -> Source:
    """Return the source of this name, with its labels; images are read when they are asked for.

    The arguments are those of `kdtheory.datasets.load`.

    Raises:
      InputError: an unknown name, an image size that is not wanted or not positive, or files that
        are missing or damaged.

    >>> len(open_source("digits").train.labels)
    1297
    """
    if not isinstance(name, str):
        raise InputError(f"a data set is named by text, such as 'digits', got {name!r:.80}")
    if image_size is not None:
        pair = isinstance(image_size, tuple | list) and len(image_size) == 2
        if not pair or not all(isinstance(side, int | np.integer) for side in image_size):
            raise InputError(f"image_size must be (height, width), got {image_size!r}")
        if min(image_size) < 1:
            raise InputError(f"image_size must be at least 1 by 1, got {image_size}")
    if name in SOURCES:
        if image_size is not None:
            raise InputError(
                f"data set {name!r} has one image size: image_size is for TFDS sets and folders"
            )
        return SOURCES[name]()
    if name.startswith(FOLDER_PREFIX):
        return folder_source(name.removeprefix(FOLDER_PREFIX), image_size=image_size)
    for kind in (PARQUET_PREFIX, CSV_PREFIX, SAVED_PREFIX):
        if name.startswith(kind):
            return table_source(kind, name.removeprefix(kind), image_size=image_size)
    if name.startswith(NPZ_PREFIX):
        if image_size is not None:
            raise InputError("images in an .npz file have one size: leave image_size out")
        return npz_source(name.removeprefix(NPZ_PREFIX))
    root = resolve_data_dir(data_dir)
    if not (root / base_name(name)).is_dir():
        require_known(name, [*SOURCES, *(prepared.name for prepared in list_prepared(root))])
    return tfds_source(name, data_dir=root, image_size=image_size)
