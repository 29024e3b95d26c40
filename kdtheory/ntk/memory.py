"""How much memory the kernel computations may plan with."""

import pathlib

import jax

#: Where the machine does not tell, plan for this much, in bytes.
FALLBACK = 4 * 2**30


def available() -> int:
    """Return the free memory of the device that JAX computes on, in bytes.

    On CPU this is the host's available memory; kernels are laid down on the host in any case.

    >>> available() > 0
    True
    """
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
    meminfo = pathlib.Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return FALLBACK
