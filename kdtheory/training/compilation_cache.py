"""Compiled programs kept on disk, so that the next process need not compile them again."""

import os
from pathlib import Path

import jax

from kdtheory.errors import RunError


def default_cache_folder() -> Path:
    """Return $XDG_CACHE_HOME/kdtheory/xla, or ~/.cache/kdtheory/xla.

    >>> default_cache_folder().parts[-2:]
    ('kdtheory', 'xla')
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "kdtheory" / "xla"


def enable_compilation_cache(folder: Path | None = None) -> Path:
    """Keep compiled programs in a folder: JAX's persistent compilation cache, for this process.

    Nothing in kdtheory calls this unless asked to (`RunConfig.compilation_cache`).

    Args:
      folder: default: `default_cache_folder()`; made if missing. It may be deleted at any time.

    Returns:
      The folder.

    Raises:
      RunError: it cannot be written.
    """
    folder = default_cache_folder() if folder is None else folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write to the cache {folder}: {error.strerror}") from error
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder
