"""Image folders: ROOT/train/CLASS/*.png, ROOT/test/CLASS/*.png."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int32, UInt8

from kdtheory.datasets.records import PILLOW_ERRORS, decode_images, open_image
from kdtheory.datasets.source import Advance, Source, SourceSplit
from kdtheory.errors import InputError
from kdtheory.files import open_regular, read_bytes

#: Begins the name of an image folder: "folder:ROOT".
FOLDER_PREFIX = "folder:"

#: Files with other endings are passed over.
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")

_VALIDATION = ("validation", "val")
# Of a file: of as many pixels as are decoded, without compression.
_MOST_BYTES = 2**28
# Files to read at once.
_CHUNK = 256
# Pillow's modes of 8 bits a channel, which conversion does not clip.
_GREY_MODES = ("1", "L")
_MODES = (*_GREY_MODES, "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


class FolderRecords:
    """The image files of one split, class after class, each class sorted by path."""

    random_access = True

    def __init__(self, files: list[Path], labels: list[int]) -> None:
        self.files = files
        self._labels = np.array(labels, np.int32)

    def labels(self) -> Int32[np.ndarray, " n"]:
        """Return every file's class index."""
        return self._labels

    def encoded_images(self, rows: Int[np.ndarray, " m"]) -> Iterator[list[bytes]]:
        """Yield the contents of these files in their order, in chunks."""
        for start in range(0, len(rows), _CHUNK):
            yield [_content(self.files[row]) for row in rows[start : start + _CHUNK].tolist()]


def _content(file: Path) -> bytes:
    return read_bytes(file, _MOST_BYTES)


def folder_source(
    root: str | os.PathLike[str], *, image_size: tuple[int, int] | None = None
) -> Source:
    """Return the image folder ROOT as a source; `load("folder:ROOT")` uses it.

    ROOT/train/CLASS/ and ROOT/test/CLASS/ hold the images (.png, .jpg, .jpeg, .bmp, .gif, .webp; at
    any depth below CLASS; hidden files are passed over), and optionally ROOT/validation/CLASS/ or
    ROOT/val/CLASS/; without any of these, ROOT/CLASS/ hold the training images. The classes are the
    folders of "train" in alphabetical order. Without "test", the validation folder is the test
    split, and without both `load` needs its `test_fraction`. Images are grey (one channel) if all
    of them are, and RGB otherwise; transparency is dropped. The head of every file is read here (a
    size, no pixels). Links that lead out of ROOT are not followed.

    Args:
      image_size: (height, width) to resize every image to (bilinear).

    Raises:
      InputError: no such folder, no images in it, a link out of it, a class that "train" does not
        have, files that are no images of 8 bits a channel, or images of several sizes and no
        `image_size`.

    >>> folder_source("/nonexistent")
    Traceback (most recent call last):
    kdtheory.errors.InputError: image folder /nonexistent has no folder 'train' ...
    """
    folder = Path(root).expanduser()
    there = [name for name in ("train", "test", *_VALIDATION) if (folder / name).is_dir()]
    flat = not there and folder.is_dir() and bool(_classes(folder))
    if "train" not in there and not flat:
        raise InputError(
            f"image folder {folder} has no folder 'train' "
            "(wanted: ROOT/train/CLASS/*.png and ROOT/test/CLASS/*.png, or ROOT/CLASS/*.png)"
        )
    _check_inside(folder)
    places = {"train": folder} if flat else {name: folder / name for name in there}
    class_names = tuple(path.name for path in _classes(places["train"]))
    names = list(places)
    if set(_VALIDATION) <= set(names):
        raise InputError(f"image folder {folder} has both 'validation' and 'val': keep one")
    records = {name: _records(place, class_names) for name, place in places.items()}
    channels = _channels(records, image_size)
    splits = {
        name: _split(found, places[name], channels, image_size) for name, found in records.items()
    }
    held_out = [splits[name] for name in names[1:]]
    return Source(
        name=f"{FOLDER_PREFIX}{root}",
        class_names=class_names,
        train=splits["train"],
        test=held_out[0] if held_out else None,
        validation=held_out[1] if len(held_out) > 1 else None,
        provenance={
            "source": f"image folder {folder.name}",
            "version": ", ".join(f"{name}: {len(r.files)} files" for name, r in records.items()),
        },
    )


def _check_inside(folder: Path) -> None:
    """Raise InputError for a link in a folder that leads out of it."""
    root = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for entry in (os.path.join(parent, name) for name in (*folders, *files)):
            if os.path.islink(entry) and not Path(entry).resolve().is_relative_to(root):
                raise InputError(
                    f"{entry} is a symbolic link out of the image folder, which is not followed; "
                    "put the images there, or name the folder that it leads to"
                )


def _classes(split: Path) -> list[Path]:
    # ".ipynb_checkpoints", "__MACOSX" and the like are left by programs.
    hidden = (".", "__MACOSX")
    return sorted(p for p in split.iterdir() if p.is_dir() and not p.name.startswith(hidden))


def _images(folder: Path) -> list[Path]:
    """Return a class's image files; none whose name, or a folder's below the class, is hidden."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _records(split: Path, class_names: tuple[str, ...]) -> FolderRecords:
    files: list[Path] = []
    labels: list[int] = []
    for folder in _classes(split):
        if folder.name not in class_names:
            raise InputError(f"{folder} is a class that 'train' does not have")
        found = _images(folder)
        if not found:
            raise InputError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
        files += found
        labels += [class_names.index(folder.name)] * len(found)
    if not files:
        raise InputError(f"{split} holds no class folders with images ({split}/CLASS/*.png)")
    return FolderRecords(files, labels)


def _channels(records: dict[str, FolderRecords], image_size: tuple[int, int] | None) -> int:
    """Return 1 if all images are grey, otherwise 3, and check every file's size and mode."""
    grey = True
    first: tuple[Path, tuple[int, int]] | None = None
    for file in (file for found in records.values() for file in found.files):
        try:
            # Pillow reads a WebP whole to find its size.
            with open_regular(file, _MOST_BYTES) as content, open_image(content) as image:
                size, mode = image.size, image.mode
        except InputError as error:
            raise InputError(f"{file} is {error}") from error
        except PILLOW_ERRORS as error:
            line = " ".join(str(error).split())[:200]
            raise InputError(f"{file} is no image that can be read ({line})") from error
        if mode not in _MODES:
            raise InputError(f"{file} has Pillow's mode {mode!r}: only 8 bits a channel are read")
        grey = grey and mode in _GREY_MODES
        first = first or (file, size)
        if size != first[1] and image_size is None:
            raise InputError(
                f"images differ in size ({first[0]} is {first[1][1]}x{first[1][0]}, {file} is "
                f"{size[1]}x{size[0]}): pass image_size=(height, width) "
                "(--image-size HEIGHT WIDTH)"
            )
    return 1 if grey else 3


def _split(
    records: FolderRecords, folder: Path, channels: int, image_size: tuple[int, int] | None
) -> SourceSplit:
    def read_images(rows: Int[np.ndarray, " m"], advance: Advance) -> UInt8[np.ndarray, "m h w c"]:
        try:
            return decode_images(
                records, rows, shape=(None, None, channels), image_size=image_size,
                where=str(folder), advance=advance,
            )  # fmt: skip
        except InputError as error:
            for row in rows.tolist():
                _check_readable(records.files[row])
            raise error

    return SourceSplit(origin=folder.name, labels=records.labels(), read_images=read_images)


def _check_readable(file: Path) -> None:
    """Raise InputError, with the file's name, if its image cannot be decoded."""
    try:
        with open_regular(file) as content, open_image(content) as image:
            image.load()
    except InputError as error:
        raise InputError(f"{file} is {error}") from error
    except PILLOW_ERRORS as error:
        raise InputError(
            f"{file} is truncated, damaged or missing ({' '.join(str(error).split())[:200]})"
        ) from error
