"""Tiny ImageNet as a TFDS builder: 200 classes, 64 by 64 pixels.

Source: Y. Le and X. Yang, Tiny ImageNet Visual Recognition Challenge, CS 231N, Stanford, 2015.
Imported by `prepare` alone, because it imports TensorFlow Datasets.
"""

import os
import posixpath
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow_datasets as tfds

from kdtheory.errors import InputError


class Layout(NamedTuple):
    """What an archive holds: (path in the archive, wnid) of every labelled image, in order."""

    class_names: tuple[str, ...]
    train: list[tuple[str, str]]
    validation: list[tuple[str, str]]


class TinyImagenet(
    tfds.core.GeneratorBasedBuilder,
    skip_registration=True,  # type: ignore[call-arg]
):
    """Tiny ImageNet: "train" (100,000 images) and "validation" (10,000).

    The archive's "test" images have no public labels and are left out, so that "validation" is
    what `load` tests on. Class names are WordNet identifiers, numbered in the order of wnids.txt.
    The archive's JPEG files are stored as they are; the few grey ones become RGB when they are
    read.

    Args:
      archive: path of tiny-imagenet-200.zip; None downloads it from `URL`.
    """

    VERSION = tfds.core.Version("1.0.0")
    URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"

    def __init__(self, *, archive: str | os.PathLike[str] | None = None, **settings: Any) -> None:
        self._archive = None if archive is None else Path(archive).expanduser()
        super().__init__(**settings)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(64, 64, 3), encoding_format="jpeg"),
            # The names are known once the archive is.
            "label": tfds.features.ClassLabel(),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Tiny ImageNet: 200 classes of ImageNet, 64 by 64 pixels.",
            homepage="http://cs231n.stanford.edu/reports/2015/pdfs/yle_project.pdf",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        archive = self._archive or Path(dl_manager.download(self.URL))
        layout = read_layout(archive)
        self.info.features["label"].names = list(layout.class_names)
        return {
            "train": self._generate_examples(archive, layout.train),
            "validation": self._generate_examples(archive, layout.validation),
        }

    def _generate_examples(
        self, archive: Path, images: list[tuple[str, str]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        with zipfile.ZipFile(archive) as opened:
            for path, wnid in images:
                try:
                    content = opened.read(path)
                except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as error:
                    raise InputError(f"{archive}: {path} is damaged ({error})") from error
                yield posixpath.basename(path), {"image": content, "label": wnid}


def read_layout(archive: Path) -> Layout:
    """Return the classes and the labelled images of a Tiny ImageNet archive.

    It has, below one top folder or none: wnids.txt; train/WNID/images/*.JPEG; val/images/*.JPEG and
    val/val_annotations.txt with lines "NAME<tab>WNID<tab>...".

    Raises:
      InputError: no archive, or one that lacks any of these or contradicts itself.

    >>> read_layout(Path("/nonexistent.zip"))
    Traceback (most recent call last):
    kdtheory.errors.InputError: cannot read the archive /nonexistent.zip: No such file or directory
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            return _layout(opened.namelist(), lambda name: opened.read(name).decode(), archive)
    except OSError as error:
        raise InputError(f"cannot read the archive {archive}: {error.strerror}") from error
    except (zipfile.BadZipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(
            f"the archive {archive} is no undamaged zip file ({error}): download it again"
        ) from error


def _layout(names: list[str], read: Callable[[str], str], archive: Path) -> Layout:
    def fail(reason: str) -> InputError:
        return InputError(f"the archive {archive} is no Tiny ImageNet: {reason}")

    tops = [name[: -len("wnids.txt")] for name in names if posixpath.basename(name) == "wnids.txt"]
    if len(tops) != 1:
        raise fail(f"it has {len(tops)} files wnids.txt, not one")
    (top,) = tops
    class_names = tuple(read(f"{top}wnids.txt").split())
    if len(set(class_names)) < max(len(class_names), 2):
        raise fail("wnids.txt must name at least 2 classes, and none of them twice")

    annotations = f"{top}val/val_annotations.txt"
    if annotations not in names:
        raise fail("it has no val/val_annotations.txt")
    lines = [line.split("\t") for line in read(annotations).splitlines() if line.strip()]
    if any(len(line) < 2 for line in lines):
        raise fail("val/val_annotations.txt has a line without a tab")
    validation = [(f"{top}val/images/{line[0]}", line[1]) for line in lines]

    train = []
    for name in sorted(names):
        if not name.startswith(f"{top}train/") or not name.lower().endswith((".jpeg", ".jpg")):
            continue
        train.append((name, name.removeprefix(f"{top}train/").split("/")[0]))

    present = set(names)
    for split, images in (("train", train), ("val", validation)):
        if not images:
            raise fail(f"it has no images in {split}")
        for path, wnid in images:
            if wnid not in class_names:
                raise fail(f"{path} has the class {wnid}, which is not in wnids.txt")
            if path not in present:
                raise fail(f"{path}, of val_annotations.txt, is missing")
    if missing := set(class_names) - {wnid for _, wnid in train}:
        raise fail(f"no training images of {min(missing)}")
    return Layout(class_names, train, validation)
