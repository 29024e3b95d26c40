"""Write files whole or not at all, read regular ones alone, and lock a folder."""

import contextlib
import errno
import fcntl
import io
import json
import math
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

from kdtheory.errors import InputError, RunError

#: What a file is to hold: text (written as UTF-8), bytes, or a function that writes it.
Content: TypeAlias = str | bytes | Callable[[IO[bytes]], object]

#: No text that is read whole (settings, rows) has more bytes.
MOST_TEXT = 2**30

#: Of an integer in JSON: those of 2**64.
_MOST_DIGITS = 20

#: Names of what is being written, or was when a process was killed: `write_whole`'s, and orbax's.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp|step-\d+\.orbax-checkpoint-tmp.*")


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
        # NumPy's own says how much it wrote, and not why it could not write more.
        reason = error.strerror or "the disk is full, or takes no file of that size"
        raise RunError(f"cannot write {path}: {reason}") from error
    return path


def check_space(path: Path, needed: int) -> None:
    """Raise InputError if a file of so many bytes does not fit on its disk.

    >>> check_space(Path("K.npy"), 1)
    """
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{path} takes {needed / 2**30:.3g} GiB, {free / 2**30:.3g} GiB are free in {folder}"
        )


def json_text(value: Any, *, indent: int | None = None, **settings: Any) -> str:
    """Return a value as JSON that every reader takes: NaN and infinities, which it lacks, are null.

    Args:
      value: of JSON's types.
      indent: as for `json.dumps`, and so are other settings.

    >>> json_text({"condition": math.inf, "n": 2})
    '{"condition": null, "n": 2}'
    """
    return json.dumps(_finite(value), indent=indent, allow_nan=False, **settings)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def write_json(path: Path, value: Any) -> Path:
    """Write a value as indented JSON (`json_text`), whole or not at all; return the path.

    Raises:
      RunError: the file cannot be written.
    """
    return write_whole(path, json_text(value, indent=2) + "\n")


def open_regular(path: Path, most: int | None = None) -> io.BufferedReader:
    """Open a file for reading; what is no regular file (a pipe, a device) is not waited for.

    Raises:
      OSError: no such file, no regular one, or one of more bytes than `most`.
    """

    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK)

    file = open(path, "rb", opener=without_waiting)  # noqa: SIM115
    state = os.fstat(file.fileno())
    if not stat.S_ISREG(state.st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    # A file with holes takes no space on the disk, and all of it in memory.
    if most is not None and state.st_size > most:
        file.close()
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return file


def read_bytes(path: Path, most: int = MOST_TEXT) -> bytes:
    """Return the content of a regular file.

    Raises:
      OSError: no such file, no regular one, or one of more bytes than `most`.
    """
    with open_regular(path, most) as file:
        return file.read()


def check_regular(path: Path) -> None:
    """Raise OSError unless a folder is made of files and folders alone: orbax waits for pipes."""
    for inner in [path, *path.rglob("*")]:
        mode = inner.lstat().st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise OSError(f"{inner.name} is neither a file nor a folder")


def read_text(path: Path) -> str:
    """Return the text of a regular UTF-8 file; a byte order mark is left out.

    Raises:
      OSError: no such file, no regular one, or one of more than `MOST_TEXT` bytes.
      ValueError: it is not UTF-8.
    """
    return read_bytes(path).decode("utf-8-sig")


def parse_json(text: str | bytes, *, infinite: bool = False) -> Any:
    """Return the value of a JSON text.

    Args:
      text: the text.
      infinite: take NaN and infinities too, which Python writes.

    Raises:
      ValueError: it is not JSON: NaN and Infinity are none, nor is what is nested beyond all use,
        nor an integer that nothing here counts to.

    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: nested too deeply
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(text, parse_constant=None if infinite else refuse, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(digits: str) -> int:
    # Beyond this Python's integers become no floats, and NumPy's none at all.
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def read_json(path: Path) -> Any:
    """Return the value in a JSON file.

    Raises:
      OSError: no such file, or no regular one.
      ValueError: it is not JSON.
    """
    return parse_json(read_text(path))


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
        lock = _open_lock(folder)
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror or error}") from error
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
        with open(folder / ".lock", "rb", opener=_not_followed) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(lock, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def remove_temporaries(folder: Path) -> None:
    """Delete what killed processes left half written in a folder; the caller holds its lock.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...   _ = (Path(name) / f".a.txt.{'0' * 32}.tmp").write_text("ha")
    ...   remove_temporaries(Path(name))
    ...   list(Path(name).iterdir())
    []
    """
    for parent, folders, files in os.walk(folder):
        for name in filter(is_temporary, files):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(parent, name))
        for name in list(filter(is_temporary, folders)):
            shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
            folders.remove(name)


def refuse_links(folder: Path) -> None:
    """Raise InputError if a folder is a symbolic link, or one in it is, at any depth.

    What is written there would lie elsewhere.

    >>> refuse_links(Path("/nonexistent"))
    """
    inner = (Path(parent, name) for parent, names, _ in os.walk(folder) for name in names)
    for path in (folder, *inner):
        if path.is_symlink():
            raise InputError(f"{path} is a symbolic link to another folder, which is not followed")


def refuse_link(path: Path) -> None:
    """Raise InputError if a path is a symbolic link.

    >>> refuse_link(Path("/nonexistent"))
    """
    if path.is_symlink():
        raise InputError(f"{path} is a symbolic link, which is not followed")


def is_temporary(name: str) -> bool:
    """Return whether a name is that of something half written, `write_whole`'s or orbax's.

    >>> is_temporary("rows.jsonl"), is_temporary("step-00000004.orbax-checkpoint-tmp")
    (False, True)
    """
    return _TEMPORARY.fullmatch(name) is not None


def _not_followed(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _open_lock(folder: Path) -> IO[bytes]:
    """Open a folder's lock, made where it is missing; what is there is neither followed nor cut.

    Raises:
      OSError: it cannot be opened, or is no regular file.
    """
    path = folder / ".lock"
    if path.is_symlink():
        raise OSError(errno.ELOOP, "its .lock is a symbolic link, which is not followed")

    def made(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)

    file = open(path, "ab", opener=made)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "its .lock is no regular file")
    return file
