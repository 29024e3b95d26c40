"""Features of blocks that do not fit in memory, in a temporary file on disk."""

import os
import pathlib
import shutil
import tempfile
import time
from typing import IO, Any

import jax
import numpy as np

#: File systems that lie in memory: what is spilled there is not out of it.
_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")

#: Arrays begin at multiples of this, so that JAX on CPU can use the mapped pages as they are.
_ALIGNMENT = 4096


class Spill:
    """Blocks' features in one file without a name, which the system deletes whatever happens.

    A block is read as a memory map: on CPU its pages are computed with where they are, and leave
    the process' memory with the arrays.

    Args:
      folder: a folder on disk; None for the system's folder for temporary files ($TMPDIR).

    >>> with Spill(None) as spill:
    ...     spill.write("a", {"x": jax.numpy.arange(3)})
    ...     {name: np.asarray(leaf).tolist() for name, leaf in spill.read("a").items()}
    {'x': [0, 1, 2]}
    """

    def __init__(self, folder: pathlib.Path | None) -> None:
        self._folder = pathlib.Path(tempfile.gettempdir()) if folder is None else folder
        self._file: IO[bytes] | None = None
        self._places: dict[Any, tuple[int, int, list[tuple[int, Any, Any]], Any]] = {}
        self._end = 0
        self._seconds_a_byte: float | None = None
        self._usable = not _in_memory(self._folder)

    def __enter__(self) -> "Spill":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def __contains__(self, key: Any) -> bool:
        return key in self._places

    def pays(self, size: int, reads: int, seconds: float) -> bool:
        """Return whether a block is better written than computed again.

        Args:
          size: bytes of the block.
          reads: how often it is needed again.
          seconds: what computing it takes.
        """
        if not self._usable or reads < 1:
            return False
        # Half of the disk stays free for others.
        if size > shutil.disk_usage(self._folder).free // 2:
            return False
        if self._seconds_a_byte is None:
            return True  # the first one shows what writing costs
        return (1 + reads) * size * self._seconds_a_byte < reads * seconds

    def write(self, key: Any, features: Any) -> None:
        """Write a block's features; a disk that turns out full is not used any further."""
        leaves, structure = jax.tree.flatten(features)
        began = time.perf_counter()
        start, places = self._end, []
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            position = start
            for leaf in leaves:
                array = np.asarray(leaf)
                self._file.seek(position)
                self._file.write(array.data if array.size else b"")
                places.append((position - start, array.dtype, array.shape))
                position += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
            self._file.truncate(position)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            # The features are in memory still, and can be computed again: nothing is lost.
            self._usable = False
            return
        seconds = time.perf_counter() - began
        self._seconds_a_byte = seconds / max(1, position - start)
        self._places[key] = (start, position - start, places, structure)
        self._end = position

    def read(self, key: Any) -> Any:
        """Return a block's features, as NumPy arrays on mapped pages."""
        start, size, places, structure = self._places[key]
        assert self._file is not None
        pages = np.memmap(self._file, np.uint8, "r", offset=start, shape=(size,))
        leaves = []
        for position, dtype, shape in places:
            nbytes = int(np.prod(shape)) * dtype.itemsize
            leaves.append(pages[position : position + nbytes].view(dtype).reshape(shape))
        return jax.tree.unflatten(structure, leaves)


def _in_memory(folder: pathlib.Path) -> bool:
    """Return whether a folder lies on a file system in memory, as far as the system tells."""
    mounts = pathlib.Path("/proc/mounts")
    if not mounts.exists():
        return False
    path = folder.resolve()
    found, kind = -1, ""
    for line in mounts.read_text().splitlines():
        _, point, name, *_ = line.split()
        mount = pathlib.Path(point.replace("\\040", " "))
        if path.is_relative_to(mount) and len(mount.parts) >= found:
            found, kind = len(mount.parts), name
    return kind in _IN_MEMORY
