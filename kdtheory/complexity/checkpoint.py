"""States of an iteration in one file, so that a certificate of hours survives a kill."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kdtheory.archives import read_archive, write_archive
from kdtheory.complexity.golub_kahan import GolubKahanState
from kdtheory.complexity.intervals import Route, State
from kdtheory.complexity.lanczos import LanczosState
from kdtheory.digests import Owner
from kdtheory.errors import InputError

_KINDS: dict[str, type[LanczosState] | type[GolubKahanState]] = {
    "primal": LanczosState,
    "dual": GolubKahanState,
}


def fingerprint(route: Route, *arrays: np.ndarray, **settings: float) -> str:
    """Return a hash of what an iteration depends on besides the kernel's values.

    >>> fingerprint("dual", np.ones(2), ridge=0.1) == fingerprint("dual", np.ones(2), ridge=0.2)
    False
    """
    digest = hashlib.sha256(json.dumps([route, settings], sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Checkpoint:
    """A file that holds the states; written whole or not at all, at most once in `seconds`."""

    def __init__(self, path: Path, *, route: Route, fingerprint: str, seconds: float) -> None:
        self._path, self._route, self._fingerprint = path, route, fingerprint
        # Files of versions before seals say whose they are in an array of their own.
        self._owner = Owner(names={"iteration": fingerprint}, sealed=False)
        self._seconds = seconds
        self._saved = time.monotonic()

    def __call__(self, states: Callable[[], Sequence[State]]) -> None:
        """Store the states if the last time is long enough ago."""
        if time.monotonic() - self._saved >= self._seconds:
            self.save(states())

    def save(self, states: Sequence[State]) -> None:
        """Store the states now.

        Raises:
          RunError: the file cannot be written.
        """
        arrays: dict[str, Any] = {"fingerprint": np.array(self._fingerprint)}
        for index, state in enumerate(states):
            if state is not None:
                for name, value in state._asdict().items():
                    arrays[f"{index}/{name}"] = np.asarray(value)
        write_archive(self._path, arrays, self._owner)
        self._saved = time.monotonic()

    def load(self, count: int) -> list[State]:
        """Return the states that the file holds, None for each where there is no file.

        Raises:
          InputError: the file is damaged, or of another iteration.
        """
        try:
            stored, wrong = read_archive(self._path, self._owner)
        except FileNotFoundError:
            return [None] * count
        except OSError as error:
            raise InputError(f"cannot read {self._path}: {error.strerror}") from error
        if wrong is not None and not wrong.foreign:
            raise InputError(
                f"{self._path} is not a whole checkpoint ({wrong.reason}); remove it to start over"
            )
        if str(stored.get("fingerprint")) != self._fingerprint:
            raise InputError(
                f"{self._path} belongs to other targets, another ridge, route or preconditioner; "
                "name another file"
            )
        kind = _KINDS[self._route]
        states: list[State] = []
        for index in range(count):
            if f"{index}/basis" not in stored:
                states.append(None)
                continue
            fields = {name: stored[f"{index}/{name}"] for name in kind._fields}
            # What was a number is one again.
            plain: dict[str, Any] = {k: v if v.ndim else v.item() for k, v in fields.items()}
            states.append(kind(**plain))
        return states
