"""Stored TFDS records: labels and encoded images, from array_record and from tfrecord files."""

import contextlib
import io
import logging
import os
import re
import struct
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Int32, UInt8

from kdtheory.datasets.source import Advance
from kdtheory.errors import InputError
from kdtheory.memory import check_fits

_CHUNK = 1024
# Below this many bytes an image is decoded so fast that threads only wait for each other.
_THREADS_FROM_BYTES = 16_384
#: Pillow's decoders that are used: it has others that start programs (EPS) or read much more.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
#: An image of more pixels is refused before it is decoded.
MOST_PIXELS = 2**26

#: What Pillow raises for damaged images, besides its refusal of far too many pixels.
PILLOW_ERRORS = (OSError, ValueError, SyntaxError, OverflowError, EOFError, struct.error)

#: Pillow's mode for each number of channels.
PIL_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@runtime_checkable
class Records(Protocol):
    """The records of one split, in stored order.

    `random_access`: whether a few images can be read without reading all.
    """

    random_access: bool

    def labels(self) -> Int32[np.ndarray, " n"]:
        """Return every record's class index."""
        ...

    def encoded_images(self, rows: Int[np.ndarray, " m"]) -> Iterator[list[bytes]]:
        """Yield the encoded images (PNG, JPEG) of these rows in their order, in chunks."""
        ...


class ArrayRecords:
    """A split in array_record files, read at random through `tfds.data_source`'s machinery.

    TensorFlow is not imported.
    """

    random_access = True

    def __init__(self, builder: Any, split: str, image_key: str, label_key: str) -> None:
        import tensorflow_datasets as tfds

        self._where = f"{builder.data_dir} (split {split!r})"
        self._image_key, self._label_key = image_key, label_key
        try:
            self._source = builder.as_data_source(
                split=split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
            )
        except Exception as error:  # TFDS's own types, for a split without files
            raise damaged(self._where, error) from error

    def _values(self, rows: list[int], key: str) -> list[Any]:
        """Return one feature of these rows."""
        # Parsed here and not by TFDS, whose decoding would decode every image for its label.
        from tensorflow_datasets.proto import tf_example_pb2

        try:
            examples = [
                tf_example_pb2.Example.FromString(record)
                for record in self._source.__getitems__(rows)
            ]
        except Exception as error:  # riegeli's and protobuf's own types, among others
            raise damaged(self._where, error) from error
        values = []
        for example in examples:
            feature = example.features.feature[key]
            kind = feature.WhichOneof("kind")
            # A file cut at a block's end is read without complaint, as empty records.
            if kind is None or not getattr(feature, kind).value:
                raise damaged(self._where, f"a record without the feature {key!r}")
            values.append(getattr(feature, kind).value[0])
        return values

    def labels(self) -> Int32[np.ndarray, " n"]:
        """Return every record's class index."""
        total = len(self._source)
        labels = np.empty(total, np.int32)
        for start in range(0, total, _CHUNK):
            rows = list(range(start, min(start + _CHUNK, total)))
            labels[rows] = self._values(rows, self._label_key)
        return labels

    def encoded_images(self, rows: Int[np.ndarray, " m"]) -> Iterator[list[bytes]]:
        """Yield the encoded images of these rows in their order, in chunks."""
        for start in range(0, len(rows), _CHUNK):
            yield self._values(rows[start : start + _CHUNK].tolist(), self._image_key)


class TFRecords:
    """A split in tfrecord files, read from front to back by TFDS and TensorFlow."""

    random_access = False

    def __init__(self, builder: Any, split: str, image_key: str, label_key: str) -> None:
        self._builder, self._split = builder, split
        self._image_key, self._label_key = image_key, label_key
        self._where = f"{builder.data_dir} (split {split!r})"

    def _examples(self) -> Iterator[dict[str, Any]]:
        import tensorflow_datasets as tfds

        _prepare_tensorflow()
        try:
            with _without_absl_warnings():
                dataset = self._builder.as_dataset(
                    split=self._split,
                    shuffle_files=False,
                    decoders=tfds.decode.PartialDecoding(
                        {self._image_key: True, self._label_key: True},
                        decoders={self._image_key: tfds.decode.SkipDecoding()},
                    ),
                    # One file after another: the stored order.
                    read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
                )
            yield from tfds.as_numpy(dataset)
        except Exception as error:  # TensorFlow's own types
            raise damaged(self._where, error) from error

    def labels(self) -> Int32[np.ndarray, " n"]:
        """Return every record's class index."""
        return np.array([example[self._label_key] for example in self._examples()], np.int32)

    def encoded_images(self, rows: Int[np.ndarray, " m"]) -> Iterator[list[bytes]]:
        """Yield the encoded images of these rows in their order, in chunks."""
        wanted = set(rows.tolist())
        kept = {
            row: bytes(example[self._image_key])
            for row, example in enumerate(self._examples())
            if row in wanted
        }
        for start in range(0, len(rows), _CHUNK):
            yield [kept[row] for row in rows[start : start + _CHUNK].tolist()]


#: The readers by TFDS's name of the file format.
READERS: dict[str, type[ArrayRecords] | type[TFRecords]] = {
    "array_record": ArrayRecords,
    "tfrecord": TFRecords,
}


def decode_images(
    records: Records,
    rows: Int[np.ndarray, " m"],
    *,
    shape: tuple[int | None, int | None, int],
    image_size: tuple[int, int] | None,
    where: str,
    advance: Advance,
) -> UInt8[np.ndarray, "m h w c"]:
    """Return the decoded images of these rows.

    Decoding is Pillow's for every file format, so that the pixels do not depend on which other
    decoders are installed.

    Args:
      shape: (h, w, c) as the data set states it; None where it does not.
      image_size: (h, w) to resize to, or None.

    Raises:
      InputError: if an image is damaged, or the images differ in size and no `image_size`
        is given.
    """
    from PIL import Image

    if image_size is not None:
        check_fits(
            f"{len(rows):,} images of {image_size[0]} x {image_size[1]}",
            len(rows) * image_size[0] * image_size[1] * shape[2],
            "take a smaller --image-size, or fewer images",
        )
    mode = PIL_MODES[shape[2]]

    def decode(encoded: bytes) -> np.ndarray:
        with open_image(io.BytesIO(encoded)) as image:
            converted = image if image.mode == mode else image.convert(mode)
            if image_size is not None:
                height, width = image_size
                converted = converted.resize((width, height), Image.Resampling.BILINEAR)
            return np.asarray(converted, np.uint8).reshape(*converted.size[::-1], shape[2])

    images: np.ndarray | None = None
    done = 0
    with ThreadPoolExecutor() as pool:
        for chunk in records.encoded_images(rows):
            large = max(map(len, chunk)) >= _THREADS_FROM_BYTES
            try:
                decoded = list(pool.map(decode, chunk) if large else map(decode, chunk))
            except PILLOW_ERRORS as error:
                raise damaged(where, error) from error
            if images is None:
                images = np.empty((len(rows), *decoded[0].shape), np.uint8)
            for image in decoded:
                if image.shape != images.shape[1:]:
                    raise InputError(
                        f"the images of {where} differ in size "
                        f"({images.shape[1]}x{images.shape[2]} and "
                        f"{image.shape[0]}x{image.shape[1]}): pass image_size=(height, width) "
                        "(--image-size HEIGHT WIDTH)"
                    )
                images[done] = image
                done += 1
            advance(len(chunk))
    if images is None:
        height, width = image_size or (shape[0] or 0, shape[1] or 0)
        return np.empty((0, height, width, shape[2]), np.uint8)
    return images


def open_image(file: Any) -> Any:
    """Return Pillow's image of a file: of one of `FORMATS`, and of at most `MOST_PIXELS`.

    Raises:
      OSError: no such image.
      InputError: it has more pixels.
    """
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow's own limits come later.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(file, formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise _too_large("more than Pillow opens") from error
    if image.width * image.height > MOST_PIXELS:
        size = f"{image.width} x {image.height}"
        image.close()
        raise _too_large(size)
    return image


def _too_large(size: str) -> InputError:
    return InputError(f"an image of {size} pixels; at most {MOST_PIXELS:,} are decoded")


def damaged(where: str, reason: object) -> InputError:
    """Return the one-line error for records that cannot be read."""
    # TensorFlow begins its messages with the names of graph nodes in double braces.
    line = " ".join(re.sub(r"\{\{.*?\}\}", "", str(reason)).split())
    return InputError(
        f"cannot read {where}: the files are truncated, damaged or missing; "
        f"prepare the set again ({line[:200]})"
    )


def _prepare_tensorflow() -> None:
    """Import TensorFlow and hide the GPUs from it, whose memory it would take from JAX."""
    # Leaves out what TensorFlow says of GPUs that it cannot use; the notes that it writes to stderr
    # while it is being imported cannot be turned off.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise InputError(
            "tfrecord files need TensorFlow: install tensorflow, or prepare the set as array_record"
        ) from error

    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        # TensorFlow runs already, with the devices that its first user chose.
        return


@contextlib.contextmanager
def _without_absl_warnings() -> Iterator[None]:
    """Leave out TFDS's notes to its own developers while it builds its pipeline."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
