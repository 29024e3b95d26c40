"""Write a file so that it is either the old one or the whole new one."""

import contextlib
import os
from pathlib import Path

from kdtheory.errors import InputError


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Replace a file in one step, by a temporary file beside it and a rename; return its path.

    The folder is made where it is missing. Text is written as UTF-8.

    Raises:
        InputError: the file cannot be written, with the system's reason.
    """
    data = content.encode() if isinstance(content, str) else content
    # The process id keeps two writers of one file from sharing a temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    return path
