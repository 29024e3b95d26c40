"""Finished tiles of a Gram matrix in a folder, so that a killed computation goes on.

    store/manifest.json        what the kernel's entries depend on
    store/tiles-....npz        tiles "i-j", a few at a time

A file of tiles is a sealed archive (`kdtheory.archives`). Files are written under another name,
flushed to the disk and renamed, so a process killed at any moment leaves whole files only; what a
disk damages later, and tiles of another kernel, are noticed when they are read.
"""

import contextlib
import hashlib
import json
import pathlib
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kdtheory.archives import read_archive, write_archive
from kdtheory.digests import Owner
from kdtheory.errors import InputError, RunError
from kdtheory.files import json_text, read_json, write_whole
from kdtheory.ntk.schedule import Tile

FORMAT = 2
#: Stores of the first format have files without a seal.
_UNSEALED = 1

#: Tiles are gathered to files of this many bytes, or for this many seconds.
FILE_BYTES = 16 * 2**20
FILE_SECONDS = 5.0

#: Left by a killed process: older than this, in seconds, nobody is writing it any more.
_STALE = 3600.0


class TileStore:
    """A folder of tiles. Several processes may write into it at the same time.

    Args:
      folder: made if missing.
      identity: what the kernel's entries depend on, of JSON's types.
      file_bytes: tiles gathered in memory before they are written.

    Raises:
      InputError: the folder holds tiles of another kernel, or files that are no store's.
      RunError: it cannot be read or written.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        identity: Mapping[str, Any],
        *,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        self.folder = folder
        self._file_bytes = file_bytes
        self._pending: dict[str, np.ndarray] = {}
        self._since = time.monotonic()
        self._read: set[str] = set()
        with _reported(folder):
            began = _open(folder, identity)
        text = json.dumps(identity, sort_keys=True)
        kernel = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._owner = Owner(names={"kernel": kernel}, sealed=began != _UNSEALED)

    def read(self) -> Iterator[tuple[Tile, np.ndarray]]:
        """Yield the tiles in files that were not read yet; damaged ones are left out, and deleted.

        Raises:
          InputError: a file is another kernel's, or has no digest that tells.

        Warns:
          UserWarning: a file is damaged; its tiles that can be read are kept, and the others will
            be computed again.
        """
        with _reported(self.folder):
            paths = sorted(self.folder.glob("tiles-*.npz"))
        for path in paths:
            if path.name in self._read:
                continue
            self._read.add(path.name)
            try:
                found, damaged = read_archive(path, self._owner)
            except FileNotFoundError:
                continue  # another process found it damaged
            except OSError as error:
                raise RunError(f"cannot read {path}: {error.strerror}") from error
            if damaged is not None and (damaged.foreign or damaged.unsealed):
                raise InputError(
                    f"{path} holds tiles of another kernel ({damaged.reason}); choose another store"
                )
            tiles = {place: tile for name, tile in found.items() if (place := _place(name))}
            if damaged is not None:
                warnings.warn(
                    f"{path} is damaged ({damaged.reason}); what it lost is computed again",
                    stacklevel=2,
                )
                self._pending |= {f"{i}-{j}": tile for (i, j), tile in tiles.items()}
                self.flush()
                with _reported(path):
                    path.unlink(missing_ok=True)
            yield from tiles.items()

    def add(self, place: Tile, tile: np.ndarray) -> None:
        """Store a tile: soon, or at the next `flush`.

        Raises:
          RunError: it cannot be written (a full disk).
        """
        self._pending[f"{place[0]}-{place[1]}"] = tile
        size = sum(pending.nbytes for pending in self._pending.values())
        if size >= self._file_bytes or time.monotonic() - self._since >= FILE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the tiles that are gathered in memory.

        Raises:
          RunError: they cannot be written.
        """
        if self._pending:
            path = self.folder / f"tiles-{uuid.uuid4().hex}.npz"
            write_archive(path, self._pending, self._owner)
            self._read.add(path.name)
        self._pending = {}
        self._since = time.monotonic()


def _open(folder: pathlib.Path, manifest: Mapping[str, Any]) -> int:
    """Make a store, or check that the one there is of the same kernel; return its format."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"store {folder} is a file; it must be a folder")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.json"
    if not path.exists():
        others = [entry.name for entry in folder.iterdir() if not _ours(entry.name)]
        if others:
            raise InputError(
                f"store {folder} holds files but no manifest.json ({min(others)}); choose another"
            )
        text = json_text({"format": FORMAT, **manifest}, indent=2) + "\n"
        write_whole(path, text, if_missing=True)
    try:
        stored = read_json(path)
        began = int(stored.get("format", 0))
        differing = [name for name in manifest if stored.get(name) != manifest[name]]
        if began not in (FORMAT, _UNSEALED):
            differing = ["format"]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"store {folder}: manifest.json is damaged ({error}); delete the folder"
        ) from error
    if differing:
        if differing == ["block_sizes"]:
            raise InputError(
                f"store {folder} holds tiles of other block sizes ({stored['block_sizes']} there, "
                f"{manifest['block_sizes']} asked); give the memory_budget and batch_size that it "
                "was begun with, or choose another"
            )
        which = "; ".join(
            f"{name}: {stored.get(name)} there, {manifest.get(name, FORMAT)} asked"
            for name in differing
        )
        raise InputError(f"store {folder} holds tiles of another kernel ({which}); choose another")
    for entry in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - entry.stat().st_mtime > _STALE:
                entry.unlink()
    return began


def _ours(name: str) -> bool:
    return name.startswith(("tiles-", ".tiles-", ".manifest.json"))


def _place(name: str) -> Tile | None:
    """Return the tile that a member of a file is by its name; None for what is none."""
    i, _, j = name.partition("-")
    return (int(i), int(j)) if i.isdecimal() and j.isdecimal() else None


@contextlib.contextmanager
def _reported(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot use the store at {path}: {error.strerror or error}") from error
