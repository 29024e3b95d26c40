"""How much memory there is, what a kernel takes of it, and sizes as a person writes them.

Every rule of what fits stands here: a kernel is made in `making_bytes`, factorised in
`factorising_bytes`, and `check_fits` says in one line what does not fit.
"""

import ctypes
import gc
import math
import pathlib
import re
import sys
from typing import Any, NamedTuple

import jax
import numpy as np

from kdtheory.errors import InputError

#: Where the machine does not tell, plan for this much, in bytes.
FALLBACK = 4 * 2**30

#: Blocks of a kernel are chosen for this much working memory, in bytes, where no budget is given.
WORKING_MEMORY = 2 * 2**30

#: A teacher's logits on the training split are looked up on the device up to this size.
TABLE_BYTES = 2**30

_MEMINFO = pathlib.Path("/proc/meminfo")

#: XLA on CPU uses host memory where it lies if it begins at a multiple of this.
_XLA_ALIGNMENT = 64

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", 1):
    _UNITS |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power}


class _ControlGroup(NamedTuple):
    """Where a container or a job says what it may take, and what it has taken."""

    limit: pathlib.Path
    used: pathlib.Path
    statistics: pathlib.Path
    reclaimable: str
    """Line of the statistics with the file pages that the kernel gives up when asked."""


_ROOT = pathlib.Path("/sys/fs/cgroup")
_CONTROL_GROUPS = (
    _ControlGroup(
        _ROOT / "memory.max", _ROOT / "memory.current", _ROOT / "memory.stat", "inactive_file"
    ),
    _ControlGroup(
        _ROOT / "memory/memory.limit_in_bytes",
        _ROOT / "memory/memory.usage_in_bytes",
        _ROOT / "memory/memory.stat",
        "total_inactive_file",
    ),
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

    On CPU this is the host's available memory, or less where the process' control group (a
    container, a job) has less left; kernels are laid down on the host in any case.

    >>> available() > 0
    True
    """
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    known = [_line(_MEMINFO, "MemAvailable:", 1024), *map(_left_in, _CONTROL_GROUPS)]
    return min((free for free in known if free is not None), default=FALLBACK)


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
    known = [_line(_MEMINFO, "MemTotal:", 1024), *(_number(g.limit) for g in _CONTROL_GROUPS)]
    return min((limit for limit in known if limit is not None), default=FALLBACK)


def making_bytes(shape: tuple[int, ...], dtype: str) -> int:
    """Return what a kernel takes while it is made: itself, and as much again to work with.

    >>> making_bytes((100, 100), "float32")
    80000
    """
    return 2 * math.prod(shape) * np.dtype(dtype).itemsize


def factorising_bytes(rows: int) -> int:
    """Return what the exact complexity takes: a float64 kernel, its factor, and one in between.

    >>> factorising_bytes(100)
    240000
    """
    return 3 * 8 * rows**2


def check_fits(what: str, needed: int, remedy: str, *, budget: str | None = None) -> None:
    """Raise InputError, naming the remedy, for what takes more memory than is free, or a budget.

    >>> check_fits("a kernel of 10 rows", 2400, "lower --ntk-size")
    """
    free = available()
    if budget is not None and parse_bytes(budget) < min(needed, free):
        raise InputError(
            f"{what} needs {format_bytes(needed)}, the memory budget is {budget}; {remedy}"
        )
    if needed > free:
        raise InputError(
            f"{what} needs {format_bytes(needed)}, {format_bytes(free)} are free; {remedy}"
        )


class ReusedSpaces:
    """Host memory for arrays that come and go, kept between them.

    Fresh pages cost: of a kernel's passes on CPU a fifth of the time was the system's, which clears
    them. A space serves again once no array lies in it; spaces of another size than the one wanted
    are let go.

    >>> spaces = ReusedSpaces()
    >>> first = spaces.empty((3,), np.dtype("float32"))
    >>> first.ctypes.data % 64
    0
    >>> place = first.ctypes.data
    >>> spaces.empty((3,), np.dtype("float32")).ctypes.data == place
    False
    >>> del first
    >>> spaces.empty((3,), np.dtype("float32")).ctypes.data == place
    True
    """

    def __init__(self) -> None:
        self._spaces = [np.empty(0, np.uint8)]
        # How many references there are to a space in which nothing lies, as Python counts them.
        self._idle = self._references(0)
        self._spaces.clear()

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """Return an array of unset entries that begins where XLA on CPU wants its arrays."""
        size = math.prod(shape) * dtype.itemsize
        space = self._free(size + _XLA_ALIGNMENT)
        start = -space.ctypes.data % _XLA_ALIGNMENT
        return space[start : start + size].view(dtype).reshape(shape)

    def _free(self, size: int) -> np.ndarray:
        free = [i for i in range(len(self._spaces)) if self._references(i) == self._idle]
        for i in free:
            if self._spaces[i].nbytes == size:
                return self._spaces[i]
        for i in reversed(free):
            del self._spaces[i]
        space = np.empty(size, np.uint8)
        self._spaces.append(space)
        return space

    def _references(self, index: int) -> int:
        return sys.getrefcount(self._spaces[index])


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


def _left_in(group: _ControlGroup) -> int | None:
    """Return what a control group has left; None where it has no limit, or does not say."""
    limit, used = _number(group.limit), _number(group.used)
    if limit is None or used is None:
        return None
    return max(0, limit - used + (_line(group.statistics, group.reclaimable) or 0))


def _number(path: pathlib.Path) -> int | None:
    """Return a file's number; None without the file, or where it says that there is no limit."""
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text.isdigit() else None


def _line(path: pathlib.Path, name: str, unit: int = 1) -> int | None:
    """Return the number on a file's line of that name, in bytes; None where there is none."""
    lines = path.read_text().splitlines() if path.exists() else []
    found = (line.split() for line in lines)
    return next((int(words[1]) * unit for words in found if words[:1] == [name]), None)
