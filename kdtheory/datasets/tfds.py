"""Image classification sets of TensorFlow Datasets (TFDS), read from prepared folders."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from kdtheory.datasets.features import check_features
from kdtheory.datasets.prepared import find_prepared, resolve_data_dir
from kdtheory.datasets.records import PIL_MODES, READERS, Records, damaged, decode_images
from kdtheory.datasets.source import Advance, Source, SourceSplit
from kdtheory.errors import OWN_CODE, InputError, asked

#: Sets whose TFDS builders are kdtheory's own: (module, class).
OWN_BUILDERS = {"tiny_imagenet": ("kdtheory.datasets.tiny_imagenet", "TinyImagenet")}


def tfds_source(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: tuple[int, int] | None = None,
) -> Source:
    """Return a prepared TFDS image classification set; its images are decoded when they are read.

    array_record files are read without TensorFlow; tfrecord files need it. The folder alone is
    read: its own description of features and splits, not TFDS's code for the set.

    Splits: "train" is for training. The test split is "test", or "validation" where there is no
    labelled "test"; a set with neither has none, and `load` needs its `test_fraction`. Where both
    exist, "validation" is the source's own validation split. Other splits are not read.

    Args:
      name: "name", "name/config" or "name/config:version"; default the newest prepared version.
      data_dir: see `resolve_data_dir`.
      image_size: (height, width) to resize every image to.

    Raises:
      InputError: if the set is not prepared, damaged, or no image classification set.
    """
    folder = find_prepared(name, resolve_data_dir(data_dir))
    builder = _open(str(folder))
    info = builder.info
    image_key, label_key = image_and_label_keys(name, info)
    image, label = info.features[image_key], info.features[label_key]

    file_format = info.file_format.value if info.file_format else "tfrecord"
    if file_format not in READERS:
        raise InputError(
            f"{folder} holds {file_format} files; known formats: {', '.join(sorted(READERS))}"
        )

    def split(stored: str) -> SourceSplit:
        records = READERS[file_format](builder, stored, image_key, label_key)
        return _split(records, stored, image.shape, image_size, f"{folder} (split {stored!r})")

    if "train" not in info.splits:
        raise InputError(
            f"data set {name!r} has no split 'train'; its splits: {', '.join(info.splits)}"
        )
    train = split("train")
    if (train.labels < 0).any():
        raise InputError(f"data set {name!r} has unlabelled examples in its split 'train'")
    held_out = [split(stored) for stored in ("test", "validation") if stored in info.splits]
    labelled = [candidate for candidate in held_out if (candidate.labels >= 0).all()]
    return Source(
        name=name,
        class_names=tuple(label.names),
        train=train,
        test=labelled[0] if labelled else None,
        validation=labelled[1] if len(labelled) > 1 else None,
        provenance={
            "source": f"TensorFlow Datasets {info.full_name} ({file_format})",
            "version": str(info.version),
        },
    )


def require_known(name: str, others: Iterable[str]) -> None:
    """Raise unless TFDS has a set of this name.

    Args:
      name: as for `load`.
      others: names of data sets that are not TFDS's, which may have been meant.

    Raises:
      InputError: naming the nearest names that there are.

    >>> require_known("digts", ["digits", "synthetic"])
    Traceback (most recent call last):
    kdtheory.errors.InputError: unknown data set 'digts'; did you mean 'digits'? known: digits, ...
    """
    import tensorflow_datasets as tfds

    base = base_name(name)
    theirs = [*OWN_BUILDERS, *tfds.list_builders(with_community_datasets=False)]
    if base in theirs:
        return
    listed = ", ".join(sorted(others))
    raise InputError(
        f"unknown data set {base!r}; {asked(base, [*others, *theirs])}known: {listed}, image "
        f"folders as folder:ROOT, and the image classification sets of TFDS; {OWN_CODE}"
    )


def base_name(name: str) -> str:
    """Return a set's name without its config and version.

    >>> base_name("emnist/letters:3.1.0")
    'emnist'
    """
    return name.split(":")[0].split("/")[0]


def _open(folder: str) -> Any:
    import tensorflow_datasets as tfds

    check_features(Path(folder) / "features.json")
    try:
        return tfds.builder_from_directory(folder)
    except Exception as error:  # JSON's, protobuf's and TFDS's own types
        raise damaged(folder, error) from error


def image_and_label_keys(name: str, info: Any) -> tuple[str, str]:
    """Return the names of the image and of the label feature of a TFDS `DatasetInfo`.

    They are the set's supervised pair, or else "image" and "label".

    Raises:
      InputError: unless the two are a uint8 image and a class label.
    """
    import tensorflow_datasets as tfds

    features = dict(info.features.items())
    keys = info.supervised_keys
    if keys is None or len(keys) != 2 or not all(isinstance(key, str) for key in keys):
        keys = ("image", "label")
    image, label = (features.get(key) for key in keys)
    if not (
        isinstance(image, tfds.features.Image)
        and image.np_dtype == np.uint8
        and image.shape[-1] in (None, *PIL_MODES)
        and isinstance(label, tfds.features.ClassLabel)
    ):
        raise InputError(
            f"data set {name!r} is no image classification set: it needs a uint8 image of 1, 3 or "
            f"4 channels and a class label, its features are {', '.join(sorted(features))}"
        )
    return keys


def _split(
    records: Records,
    stored: str,
    shape: tuple[int | None, int | None, int | None],
    image_size: tuple[int, int] | None,
    where: str,
) -> SourceSplit:
    height, width, channels = shape

    def read_images(rows: Int[np.ndarray, " m"], advance: Advance) -> UInt8[np.ndarray, "m h w c"]:
        return decode_images(
            records,
            rows,
            shape=(height, width, channels or 3),
            image_size=image_size,
            where=where,
            advance=advance,
        )

    return SourceSplit(
        origin=stored,
        labels=records.labels(),
        read_images=read_images,
        random_access=records.random_access,
    )
