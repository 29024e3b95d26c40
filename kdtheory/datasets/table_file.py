"""Tables in files: parquet:FILE or FOLDER, as data hubs ship them, csv:FILE, and hf:FOLDER."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int, Int32, UInt8

from kdtheory.datasets.array_source import array_source
from kdtheory.datasets.records import decode_images
from kdtheory.datasets.saved_dataset import saved_class_names, saved_files
from kdtheory.datasets.source import Advance, Source, SourceSplit
from kdtheory.errors import InputError
from kdtheory.files import open_regular
from kdtheory.memory import check_fits

if TYPE_CHECKING:
    import polars

#: Begin the names of such files.
PARQUET_PREFIX, CSV_PREFIX, SAVED_PREFIX = "parquet:", "csv:", "hf:"

#: Names of the column with the labels, the first that there is.
LABELS = ("label", "labels", "fine_label", "class", "target", "y")

#: Images to hand to the decoder at once.
_CHUNK = 256

#: How a folder's files of each split begin.
_BEGINNINGS = {"train": ("train",), "test": ("test",), "validation": ("validation", "val")}


def table_source(
    kind: str, path: str | os.PathLike[str], *, image_size: tuple[int, int] | None = None
) -> Source:
    """Return a table as a source; `load("parquet:FILE")` and `load("csv:FILE")` use it.

    A parquet file has a column of encoded images (bytes, or a struct with "bytes", as data hubs
    ship them) and one of labels; or, as a .csv, columns of numbers, all of which are features. The
    labels' column is called label, labels, fine_label, class, target or y. A folder has
    train*.parquet, and optionally test*.parquet and validation*.parquet, also below data/.
    Without a test split `load` needs its `test_fraction`.

    Args:
      kind: "parquet:", "csv:" or "hf:" (a folder of `save_to_disk`, with parquet's columns).
      path: of the file or folder.
      image_size: (height, width) to resize images to.

    Raises:
      InputError: no such file, or columns that are not these.
    """
    place = Path(path).expanduser()
    if kind == SAVED_PREFIX:
        files = saved_files(place)
    elif place.is_dir():
        files = _files_by_split(place, kind[:-1])
    elif place.exists():
        files = {"train": [place]}
    else:
        raise InputError(f"{place}: no such file or folder")
    frames = {role: _read(found, kind) for role, found in files.items()}
    name = f"{kind}{path}"
    label = _label_column(frames["train"], place)
    image = _image_column(frames["train"])
    provenance = {
        "source": f"table {place.name}",
        "version": ", ".join(f"{role}: {len(frame)} rows" for role, frame in frames.items()),
    }
    labels = {role: _column(frame, label, place) for role, frame in frames.items()}
    told = {PARQUET_PREFIX: _class_names, SAVED_PREFIX: saved_class_names}.get(kind)
    class_names = None if told is None else told(files["train"][0], label)
    if image is None:
        features = _feature_columns(frames["train"], label, place)
        tables = {
            role: (np.stack([_numbers(frame, c, place) for c in features], axis=1), labels[role])
            for role, frame in frames.items()
        }
        splits = {role: tables.get(role) for role in _BEGINNINGS}
        return array_source(name, splits, class_names=class_names, provenance=provenance)
    # The labels go the same way as those of arrays; the images are decoded when they are wanted.
    pixel = {role: np.zeros((len(frame), 1), np.float32) for role, frame in frames.items()}
    stand_in = array_source(
        name,
        {r: (pixel[r], labels[r]) if r in frames else None for r in _BEGINNINGS},
        class_names=class_names, provenance=provenance,
    )  # fmt: skip
    made = {
        role: _image_split(role, frame, image, getattr(stand_in, role).labels, image_size, place)
        for role, frame in frames.items()
    }
    return Source(
        name=name, class_names=stand_in.class_names, train=made["train"], test=made.get("test"),
        validation=made.get("validation"), provenance=provenance,
    )  # fmt: skip


class _Encoded:
    """The encoded images of a column."""

    random_access = True

    def __init__(self, contents: Sequence[bytes], labels: Int32[np.ndarray, " n"]) -> None:
        self.contents, self._labels = contents, labels

    def labels(self) -> Int32[np.ndarray, " n"]:
        return self._labels

    def encoded_images(self, rows: Int[np.ndarray, " m"]) -> Iterator[list[bytes]]:
        for start in range(0, len(rows), _CHUNK):
            yield [self.contents[row] for row in rows[start : start + _CHUNK].tolist()]


def _image_split(
    role: str,
    frame: "polars.DataFrame",
    column: str,
    labels: np.ndarray,
    image_size: tuple[int, int] | None,
    place: Path,
) -> SourceSplit:
    import polars

    series = frame[column]
    if isinstance(series.dtype, polars.Struct):
        series = series.struct.field("bytes")
    if series.null_count():
        raise InputError(
            f"{place}: column {column!r} has {series.null_count():,} rows without an image's bytes"
        )
    size = int(series.bin.size().sum())
    check_fits(f"{place}: the images of {role}", size, "it cannot be read here")
    records = _Encoded(series.to_list(), labels)

    def read_images(rows: Int[np.ndarray, " m"], advance: Advance) -> UInt8[np.ndarray, "m h w c"]:
        return decode_images(
            records, rows, shape=(None, None, channels), image_size=image_size, where=str(place),
            advance=advance,
        )  # fmt: skip

    channels = _channels(records.contents, place)
    return SourceSplit(origin=role, labels=labels, read_images=read_images)


def _channels(contents: Sequence[bytes], place: Path) -> int:
    """Return 1 if the first image is grey, otherwise 3."""
    import io

    from kdtheory.datasets.records import PILLOW_ERRORS, open_image

    try:
        with open_image(io.BytesIO(contents[0])) as image:
            return 1 if image.mode in ("1", "L") else 3
    except PILLOW_ERRORS as error:
        raise InputError(f"{place}: its first image cannot be read ({error})") from error


def _files_by_split(folder: Path, ending: str) -> dict[str, list[Path]]:
    found = {}
    for role, beginnings in _BEGINNINGS.items():
        files = sorted(
            path
            for path in (*folder.glob(f"*.{ending}"), *folder.glob(f"data/*.{ending}"))
            if path.name.startswith(beginnings)
        )
        if files:
            found[role] = files
    if "train" not in found:
        raise InputError(f"{folder} has no train*.{ending}")
    return found


def _read(files: Sequence[Path], kind: str) -> "polars.DataFrame":
    import polars

    read: Any = {
        PARQUET_PREFIX: polars.read_parquet,
        CSV_PREFIX: polars.read_csv,
        SAVED_PREFIX: polars.read_ipc_stream,
    }[kind]
    try:
        for file in files:
            _check_size(file, kind)
        return polars.concat([read(file) for file in files])
    except (OSError, polars.exceptions.PolarsError) as error:
        line = " ".join(str(error).split())[:200]
        raise InputError(f"{files[0]} cannot be read as {kind[:-1]}: {line}") from error


def _check_size(file: Path, kind: str) -> None:
    """Raise OSError for what is no regular file, InputError for what is larger than the memory."""
    import polars

    with open_regular(file) as opened:
        size = os.fstat(opened.fileno()).st_size
    if kind == PARQUET_PREFIX:
        # Its rows may repeat one value, which the file then holds once.
        lazy = polars.scan_parquet(file)
        rows = int(lazy.select(polars.len()).collect().item())
        size = max(size, 8 * rows * len(lazy.collect_schema()))
    check_fits(f"what {file} holds", size, "it cannot be read here")


def _label_column(frame: "polars.DataFrame", place: Path) -> str:
    found = [name for name in LABELS if name in frame.columns]
    if not found:
        columns = frame.columns
        listed = columns if len(columns) <= 12 else [*columns[:6], "...", *columns[-2:]]
        raise InputError(
            f"{place} has no column of labels ({', '.join(LABELS)}); its {len(columns)} columns: "
            f"{', '.join(listed)}"
        )
    return found[0]


def _image_column(frame: "polars.DataFrame") -> str | None:
    import polars

    for name, dtype in frame.schema.items():
        inner = {field.name: field.dtype for field in getattr(dtype, "fields", ())}
        if dtype == polars.Binary or inner.get("bytes") == polars.Binary:
            return name
    return None


def _feature_columns(frame: "polars.DataFrame", label: str, place: Path) -> list[str]:
    numeric = [name for name, dtype in frame.schema.items() if dtype.is_numeric()]
    others = [name for name in frame.columns if name not in numeric and name != label]
    if others:
        raise InputError(
            f"{place}: column {others[0]!r} is {frame.schema[others[0]]}, neither a number nor an "
            "image's bytes; leave it out of the file"
        )
    features = [name for name in numeric if name != label]
    if not features:
        raise InputError(f"{place} has no columns besides the labels {label!r}")
    return features


def _column(frame: "polars.DataFrame", name: str, place: Path) -> np.ndarray:
    if name not in frame.columns:
        raise InputError(f"{place}: a split has no column {name!r}")
    series = frame[name]
    if series.null_count():
        raise InputError(f"{place}: column {name!r} has {series.null_count():,} empty cells")
    return series.to_numpy()


def _numbers(frame: "polars.DataFrame", name: str, place: Path) -> np.ndarray:
    return _column(frame, name, place).astype(np.float32)


def _class_names(file: Path, label: str) -> list[str] | None:
    """Return the names of the classes that a hub's file tells in its metadata, or None."""
    import polars

    text = polars.read_parquet_metadata(file).get("huggingface")
    try:
        told: Any = json.loads(text or "{}")
        return list(told["info"]["features"][label]["names"])
    except (ValueError, KeyError, TypeError):
        return None
