"""Downloading and preparing TFDS sets: the only part of kdtheory that uses a network."""

import importlib
import os
from pathlib import Path
from typing import Any

from kdtheory.datasets.image_folder import FOLDER_PREFIX
from kdtheory.datasets.prepared import PreparedDataset, list_prepared, resolve_data_dir
from kdtheory.datasets.records import READERS
from kdtheory.datasets.sources import SOURCES
from kdtheory.datasets.tfds import OWN_BUILDERS, image_and_label_keys, require_known
from kdtheory.errors import InputError, unknown_name

# Long enough for a slow host; TFDS itself would try again for minutes.
_TIMEOUT_SECONDS = 15.0


def prepare(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    file_format: str = "array_record",
    archive: str | os.PathLike[str] | None = None,
) -> PreparedDataset:
    """Download an image classification set with TFDS, write its records, and describe them.

    A set that is prepared already is left as it is.

    Args:
      name: "name", "name/config" or "name/config:version" as TFDS knows it.
      data_dir: where to write; default as in `load`.
      file_format: "array_record" (read without TensorFlow) or "tfrecord".
      archive: the set's archive, downloaded by other means; for kdtheory's own builders (Tiny
        ImageNet) alone.

    Raises:
      InputError: unknown name or format, no image classification set, a folder that cannot be
        written, no network, or whatever TFDS could not do, in one line.
    """
    if file_format not in READERS:
        raise unknown_name("file format", file_format, READERS)
    if name in SOURCES or name.startswith(FOLDER_PREFIX):
        raise InputError(f"data set {name!r} needs no preparation: load it as it is")
    require_known(name, SOURCES)
    if archive is not None and name not in OWN_BUILDERS:
        raise InputError(
            f"data set {name!r} is prepared by TFDS, which downloads it: an archive can be given "
            f"for {', '.join(sorted(OWN_BUILDERS))} alone"
        )
    root = resolve_data_dir(data_dir)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the data folder {root}: {error.strerror}") from error

    import tensorflow_datasets as tfds

    try:
        if name in OWN_BUILDERS:
            module, class_name = OWN_BUILDERS[name]
            own = getattr(importlib.import_module(module), class_name)
            builder = own(data_dir=root, archive=archive)
        else:
            builder = tfds.builder(name, data_dir=root)
        info = builder.info
    except Exception as error:  # TFDS's own types: an unknown config or version, and others
        raise _failed(name, error) from error
    image_and_label_keys(name, info)
    if (prepared := _find(builder.data_dir, root)) is not None:
        return prepared
    if archive is None:
        _require_network(name, builder)
    try:
        builder.download_and_prepare(file_format=file_format)
    except InputError:
        # What kdtheory's own builders say of an archive.
        raise
    except Exception as error:  # TFDS's, the network's and the file system's types
        raise _failed(name, error) from error
    prepared = _find(builder.data_dir, root)
    if prepared is None:
        raise InputError(f"TFDS wrote {builder.data_dir}, but left no description there")
    return prepared


def _find(folder: str, root: Path) -> PreparedDataset | None:
    return next((p for p in list_prepared(root) if p.path == Path(folder)), None)


def _require_network(name: str, builder: Any) -> None:
    """Raise unless the first host that the set comes from answers; any answer is enough."""
    import requests

    known = [builder.URL] if name in OWN_BUILDERS else builder.url_infos or {}
    urls = [url for url in known if url.startswith(("http://", "https://"))]
    if not urls:
        return
    try:
        requests.head(urls[0], timeout=_TIMEOUT_SECONDS)
    except (requests.ConnectionError, requests.Timeout) as error:
        host = urls[0].split("/")[2]
        raise InputError(
            f"cannot download {name!r}: no network connection to {host}; prepare it on a machine "
            f"with a network and copy the folder {builder.data_dir} here"
        ) from error


def _failed(name: str, error: Exception) -> InputError:
    line = " ".join(str(error).split())[:300] or type(error).__name__
    return InputError(f"TFDS could not prepare {name!r}: {line}")
