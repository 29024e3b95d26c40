"""Several processes of `jax.distributed` on one matrix: each computes a share of the tiles."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from kdtheory.errors import InputError, RunError
from kdtheory.ntk.schedule import Tile, share
from kdtheory.ntk.store import TileStore
from kdtheory.ntk.tiling import Assembly

#: Seconds without a new tile in the store after which the other processes count as lost.
PATIENCE = 600.0

#: How often the store is looked at while waiting, in seconds.
_LOOK = 0.5

#: Tiles that are exchanged at a time without a store, in bytes of one process.
_ROUND_BYTES = 64 * 2**20

#: Room for the text that processes compare, in bytes.
_TEXT_BYTES = 4096


def join(
    coordinator: str | None = None,
    *,
    process_id: int | None = None,
    num_processes: int | None = None,
) -> None:
    """Make this process one of several, by `jax.distributed`; before anything else uses JAX.

    Args:
      coordinator: HOST:PORT of process 0, as all processes reach it; None for what JAX finds out
        by itself under Slurm, Open MPI, mpi4py, Kubernetes or on a TPU pod.
      process_id: this process, 0 to num_processes - 1; given exactly with a coordinator.
      num_processes: how many there are; given exactly with a coordinator.

    Raises:
      InputError: some of the three without the others, a process that is none of them, or nothing
        found where JAX was to find out.
      RunError: the others were not reached.
    """
    given = [value is not None for value in (coordinator, process_id, num_processes)]
    if any(given) and not all(given):
        raise InputError("coordinator, process id and number of processes go together; give all")
    if process_id is not None and not 0 <= process_id < (num_processes or 0):
        raise InputError(f"process id must be 0 to {(num_processes or 0) - 1}; got {process_id}")
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except ValueError as error:
        raise InputError(
            f"JAX finds no Slurm job, TPU pod or the like to join ({str(error).splitlines()[0]}); "
            "give coordinator, process id and number of processes"
        ) from error
    except RuntimeError as error:
        raise RunError(f"cannot join the other processes: {str(error).splitlines()[0]}") from error


class Team:
    """The processes that share a matrix: those of `jax.distributed`, or this one alone.

    Args:
      share: share the work among all processes.

    >>> Team(share=False).share_of([(0, 0), (0, 1)])
    [(0, 0), (0, 1)]
    """

    def __init__(self, *, share: bool) -> None:
        self.count = jax.process_count() if share else 1
        self.index = jax.process_index() if share else 0
        self._kept: dict[Tile, np.ndarray] = {}

    def keep(self, place: Tile, tile: np.ndarray) -> None:
        """Keep a tile of this process for the others, where there is no store to hold it."""
        if self.count > 1:
            self._kept[place] = tile

    def share_of(self, tiles: Sequence[Tile]) -> list[Tile]:
        """Return the tiles that are this process'."""
        return list(tiles) if self.count == 1 else share(tiles, self.index, self.count)

    def check_alike(self, identity: Mapping[str, Any]) -> None:
        """Check that all processes compute the same kernel.

        Raises:
          InputError: they do not.
          RunError: a process was lost.
        """
        first, *others = _gathered_json(dict(identity))
        for process, other in enumerate(others, 1):
            differing = [name for name in first if first[name] != other.get(name)]
            if differing:
                raise InputError(
                    f"processes 0 and {process} were given different kernels: "
                    f"{', '.join(differing)} differ"
                )

    def complete(self, matrix: Assembly, every: Sequence[Tile], store: TileStore | None) -> None:
        """Put the other processes' tiles into the matrix.

        Raises:
          RunError: they do not come; another process was lost.
        """
        if store is None:
            self._exchange(matrix, every)
        else:
            self._await(matrix, every, store)

    def _await(self, matrix: Assembly, every: Sequence[Tile], store: TileStore) -> None:
        """Read tiles as they appear in the store."""
        since = time.monotonic()
        while len(matrix.placed) < len(every):
            before = len(matrix.placed)
            for place, tile in store.read():
                matrix.put(place, tile)
            if len(matrix.placed) > before:
                since = time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                missing = set(every) - matrix.placed
                whose = [p for p in range(self.count) if missing & set(share(every, p, self.count))]
                raise RunError(
                    f"{len(missing)} tiles of process {', '.join(map(str, whose))} did not come "
                    f"for {PATIENCE:g} s: it was lost, or {store.folder} is not one folder for all "
                    "processes; start all of them again, what is stored is kept"
                )
            else:
                time.sleep(_LOOK)

    def _exchange(self, matrix: Assembly, every: Sequence[Tile]) -> None:
        """Send this process' tiles to all others, a few at a time, and receive theirs."""
        shares = [share(every, process, self.count) for process in range(self.count)]
        mine = [self._kept[place] for place in shares[self.index]]
        kind = [list(mine[0].shape), mine[0].dtype.str] if mine else None
        # A process may have no tile; the others tell it what one looks like.
        shape, dtype = next(kind for kind in _gathered_json(kind) if kind is not None)
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        step = max(1, _ROUND_BYTES // size)
        for start in range(0, max(map(len, shares)), step):
            part = np.zeros((step, *shape), dtype)
            for slot, tile in enumerate(mine[start : start + step]):
                part[slot] = tile
            for places, tiles in zip(shares, _gathered(part), strict=True):
                for place, tile in zip(places[start : start + step], tiles, strict=False):
                    if place not in matrix.placed:
                        matrix.put(place, tile)
        self._kept.clear()


def _gathered_json(value: Any) -> list[Any]:
    """Return every process' value, of JSON's types."""
    text = json.dumps(value, sort_keys=True).encode()
    padded = np.zeros(_TEXT_BYTES, np.uint8)
    padded[: len(text)] = np.frombuffer(text, np.uint8)
    return [json.loads(bytes(row).rstrip(b"\0")) for row in _gathered(padded)]


def _gathered(array: np.ndarray) -> np.ndarray:
    """Return every process' array, along a new axis 0.

    Raises:
      RunError: a process was lost.
    """
    try:
        return np.asarray(multihost_utils.process_allgather(array, tiled=False))
    except jax.errors.JaxRuntimeError as error:
        raise RunError(
            f"another process was lost ({str(error).splitlines()[0]}); start all of them again"
        ) from error
