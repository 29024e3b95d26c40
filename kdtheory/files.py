"""Write files whole or not at all, and lock a folder against other processes."""

import contextlib
import fcntl
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from kdtheory.errors import InputError, RunError

#: What a file is to hold: text (written as UTF-8), bytes, or a function that writes it.
Content: TypeAlias = str | bytes | Callable[[IO[bytes]], object]


class FolderBusyError(RunError):
    """Another process works in the folder."""


def write_whole(path: Path, content: Content, *, if_missing: bool = False) -> Path:
    """Write a file so that whoever reads it finds the old or the whole new one; return its path.

    The content lies on the disk before it gets its name. The folder is made where it is missing.

    Args:
      path: the file.
      content: text, bytes, or a function that is given the open file.
      if_missing: leave a file that is there: of several processes that write it at once, the first
        one's stands.

    Raises:
      RunError: the file cannot be written (a full disk, no permission).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...   write_whole(Path(folder) / "new" / "a.txt", "whole").read_text()
    'whole'
    """
    # The name is unique to this call: two writers of one file never share it.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            if if_missing:
                with contextlib.suppress(FileExistsError):
                    os.link(temporary, path)
            else:
                temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write a value as indented JSON, whole or not at all; return the path.

    Raises:
      RunError: the file cannot be written.
    """
    return write_whole(path, json.dumps(value, indent=2) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write an .npz file whole or not at all; return its path.

    Raises:
      RunError: the file cannot be written.
    """
    return write_whole(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Make a folder if it is missing, and lock it (its file `.lock`) against other processes.

    Raises:
      InputError: it is a file.
      FolderBusyError: another process works there.
      RunError: it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; --out must name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror}") from error
    with lock:
        for last in (False, False, True):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if last:
                    raise FolderBusyError(
                        f"another process is working in {folder}; wait for it to end"
                    ) from error
                # `is_locked` holds a lock for an instant, to see whether there is one.
                time.sleep(0.05)
        yield


def is_locked(folder: Path) -> bool:
    """Return whether a process holds a folder's lock; the look keeps nobody out for long."""
    try:
        with (folder / ".lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(lock, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
