"""How much memory the kernel computations may plan with, and sizes as a person writes them."""

import ctypes
import gc
import math
import pathlib
import re
import sys
from typing import Any

import jax
import numpy as np

from kdtheory.errors import InputError

#: Where the machine does not tell, plan for this much, in bytes.
FALLBACK = 4 * 2**30

#: XLA on CPU uses host memory where it lies if it begins at a multiple of this.
_XLA_ALIGNMENT = 64

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", 1):
    _UNITS |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power}

_CGROUP_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def parse_bytes(size: str | int) -> int:
    """Return a number of bytes from what a person writes.

    Args:
      size: bytes, or a number with a unit: KiB, MiB, GiB, TiB are powers of 1024 (and so are K, M,
        G, T), KB, MB, GB, TB powers of 1000.

    Raises:
      InputError: anything else, or less than one byte.

    >>> parse_bytes("4GiB"), parse_bytes("1.5 kB"), parse_bytes(4096)
    (4294967296, 1500, 4096)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(size))
    if found is None or found[2].lower() not in _UNITS:
        raise InputError(
            f"a size must be bytes or a number with a unit, such as 4GiB; got {size!r}"
        )
    value = int(float(found[1]) * _UNITS[found[2].lower()])
    if value < 1:
        raise InputError(f"a size must be at least one byte; got {size!r}")
    return value


def format_bytes(size: int) -> str:
    """Return a size for a message, rounded up, as `parse_bytes` reads it.

    >>> format_bytes(4 * 2**30), format_bytes(2**20 + 1)
    ('4GiB', '1.1MiB')
    """
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{math.ceil(10 * size / unit) / 10:g}{name}"
    return f"{size}B"


def available() -> int:
    """Return the free memory of the device that JAX computes on, in bytes.

    On CPU this is the host's available memory; kernels are laid down on the host in any case.

    >>> available() > 0
    True
    """
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    free = _meminfo("MemAvailable")
    return FALLBACK if free is None else free


def total() -> int:
    """Return all memory of the device that JAX computes on, in bytes: the same at every call.

    On CPU this is the host's memory, or less where the process' control group (a container, a job)
    is limited to less.

    >>> total() >= available() // 2
    True
    """
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    limits = [_meminfo("MemTotal")]
    for path in map(pathlib.Path, _CGROUP_LIMITS):
        if path.exists():
            text = path.read_text().strip()
            limits.append(int(text) if text.isdigit() else None)
    known = [limit for limit in limits if limit is not None]
    return min(known, default=FALLBACK)


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return an array of unset entries that begins where XLA on CPU wants its arrays to begin.

    >>> aligned_empty((3,), np.dtype("float32")).ctypes.data % 64
    0
    """
    size = math.prod(shape) * dtype.itemsize
    space = np.empty(size + _XLA_ALIGNMENT, np.uint8)
    start = -space.ctypes.data % _XLA_ALIGNMENT
    return space[start : start + size].view(dtype).reshape(shape)


def give_back() -> None:
    """Return to the system what is freed already but kept by malloc or by JAX.

    JAX lets go of NumPy arrays that it no longer uses when the garbage collector runs. glibc's
    malloc keeps freed blocks of less than 32 MiB, in one heap for each thread: beside a budget they
    would count. Elsewhere freed memory goes back by itself, or cannot be made to.
    """
    gc.collect(0)
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _meminfo(name: str) -> int | None:
    """Return a line of /proc/meminfo in bytes; None where there is none."""
    meminfo = pathlib.Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None
