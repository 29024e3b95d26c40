"""Digests of files in a file beside them, in the form of `sha256sum`, which checks them too."""

import hashlib
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path

from kdtheory.errors import InputError, RunError
from kdtheory.files import Content, open_regular, write_whole

#: Ends the name of the file with a file's digest.
SUFFIX = ".sha256"
#: No digests of a few files are as long.
_MOST = 2**16


def write_with_digest(path: Path, content: Content, *, also: Mapping[Path, Content] = {}) -> Path:
    """Write a file whole, and its digest into a file beside it; return the file's path.

    Args:
      path: the file.
      content: as for `write_whole`.
      also: files that belong to it, with their content; their digests go into the same file.

    Raises:
      RunError: a file cannot be written.

    >>> import tempfile
    >>> path = write_with_digest(Path(tempfile.mkdtemp()) / "a.txt", "whole")
    >>> path.with_name("a.txt.sha256").read_text()[:8]
    '5d5766cf'
    """
    beside = path.with_name(path.name + SUFFIX)
    try:
        # What has no digest is read, what has another's is not: a kill may fall in between.
        beside.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from error
    lines = ""
    for each, its_content in {path: content, **also}.items():
        write_whole(each, its_content)
        with each.open("rb") as file:
            lines += f"{_sha256(file)}  {each.name}\n"
    write_whole(beside, lines)
    return path


def check_digest(path: Path, file: BufferedIOBase, *, beside: Path | None = None) -> None:
    """Raise RunError if a digest lies beside a file and is another's.

    Args:
      path: the file, for its name.
      file: the same, open at its beginning, where it is left.
      beside: the file whose digests name this one's too, if it is not itself.

    Raises:
      InputError: the digest cannot be read.
      RunError: the file is not what its digest says.
    """
    beside = path if beside is None else beside
    digest = beside.with_name(beside.name + SUFFIX)
    try:
        with open_regular(digest) as opened:
            words = opened.read(_MOST).split()
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"cannot read {digest}: {error.strerror}") from None
    found = _sha256(file)
    file.seek(0)
    if found.encode() not in words:
        raise RunError(
            f"{path} has changed since it was written (see {digest.name}); the command that wrote "
            "it makes it again; whoever changed it on purpose removes the digest"
        )


def _sha256(file: BufferedIOBase) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()
