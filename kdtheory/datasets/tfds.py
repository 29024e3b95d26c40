"""Image classification sets of TensorFlow Datasets (TFDS), read from prepared folders."""

import difflib
import os
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from kdtheory.datasets.prepared import find_prepared, resolve_data_dir
from kdtheory.datasets.records import PIL_MODES, READERS, Records, damaged, decode_images
from kdtheory.datasets.source import Advance, Source, SourceSplit
from kdtheory.errors import InputError

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

    - `name`: "name", "name/config" or "name/config:version"; default the newest prepared version.
    - `data_dir`: see `resolve_data_dir`.
    - `image_size`: (height, width) to resize every image to.

    Raises:
        InputError: if the set is unknown, not prepared, damaged, or no image classification set.
    """
    root = resolve_data_dir(data_dir)
    if not (root / name.split(":")[0].split("/")[0]).is_dir():
        require_known(name)
    folder = find_prepared(name, root)
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


def require_known(name: str) -> None:
    """Raise unless TFDS has a set of this name.

    Raises:
        InputError: naming the nearest names that TFDS knows.

    >>> require_known("cifar1000")
    Traceback (most recent call last):
    kdtheory.errors.InputError: unknown data set 'cifar1000'; ... TFDS knows: cifar100, ...
    """
    import tensorflow_datasets as tfds

    base = name.split(":")[0].split("/")[0]
    known = [*OWN_BUILDERS, *tfds.list_builders(with_community_datasets=False)]
    if base in known:
        return
    begins = [other for other in known if base and other.startswith(base)]
    near = [*begins, *difflib.get_close_matches(base, known, n=5, cutoff=0.6)]
    listed = ", ".join(dict.fromkeys(near[:8])) or "no similar name"
    raise InputError(
        f"unknown data set {base!r}; embedded: digits, synthetic; image folders: folder:ROOT; "
        f"near it TFDS knows: {listed}"
    )


def _open(folder: str) -> Any:
    import tensorflow_datasets as tfds

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
