"""Where numbers come from: versions, machine, device, git commit and command."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

import kdtheory
from kdtheory.runs.own_code import imported
from kdtheory.runs.prng import prng

_PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "neural-tangents", "numpy", "scipy",
    "scikit-learn", "tensorflow-datasets",
)  # fmt: skip


#: What seals everything that this version stores.
DIGESTS = "sha256"


def _git(*arguments: str) -> str | None:
    """Return what git says of the checkout that this package lies in; None outside of one."""
    folder = Path(kdtheory.__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> dict[str, Any]:
    # A wheel installed inside somebody's repository is not a checkout of kdtheory.
    if _git("ls-files", "--error-unmatch", kdtheory.__file__) is None:
        return {"commit": None, "uncommitted_changes": None}
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": _git("rev-parse", "HEAD"), "uncommitted_changes": bool(status)}


def provenance() -> dict[str, Any]:
    """Describe this process: time, command, versions, commit, imports, machine, devices, generator.

    Returns:
      JSON's types only.

    >>> sorted(provenance())
    ['command', 'devices', 'digests', 'git', 'imports', 'machine', 'prng', 'time', 'versions']
    """
    versions = {"python": platform.python_version(), "kdtheory": kdtheory.__version__}
    for package in _PACKAGES:
        versions[package] = importlib.metadata.version(package)
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": versions,
        "git": _commit(),
        "imports": [code.provenance() for code in imported()],
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        },
        "prng": prng(),
        "digests": DIGESTS,
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
    }


def is_sealed(sessions: Sequence[Any]) -> bool:
    """Return whether everything that sessions stored has a digest: the first one tells.

    >>> is_sealed([{"digests": "sha256"}, {}]), is_sealed([{}])
    (True, False)
    """
    return isinstance(sessions[0], Mapping) and "digests" in sessions[0]
