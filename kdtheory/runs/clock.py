"""How long a network's training took, beside its checkpoints.

A time is of a machine and of what else ran on it: it is in no row of a run, whose numbers two
computers share.

    out/seeds/0/labels/seconds.json    {"seconds": ..., "timed_steps": ..., "steps": ...}
"""

import time
from pathlib import Path

from kdtheory.files import read_json, write_json

_NAME = "seconds.json"


class Clock:
    """The seconds of a training's steps, without the first program, which waits for its compiler.

    >>> clock = Clock()
    >>> for step in (4, 8, 12):
    ...     clock.step(step)
    >>> clock.timed_steps
    8
    """

    def __init__(self) -> None:
        self.seconds, self.timed_steps = 0.0, 0
        self._last: tuple[float, int] | None = None

    def step(self, step: int) -> None:
        """Note that a step is done."""
        now = time.monotonic()
        if self._last is not None:
            self.seconds += now - self._last[0]
            self.timed_steps += step - self._last[1]
        self._last = now, step

    def pause(self) -> None:
        """Count nothing up to the next step: what happens now is not training."""
        self._last = None

    def write(self, folder: Path, steps: int) -> None:
        """Store what was timed of a training of so many steps; nothing where nothing was."""
        if self.timed_steps:
            found = {"seconds": self.seconds, "timed_steps": self.timed_steps, "steps": steps}
            write_json(folder / _NAME, found)


def training_seconds(folder: Path) -> float | None:
    """Return the seconds of a network's whole training at the speed of its last session.

    None where its folder tells none, as those of earlier versions do.
    """
    try:
        found = read_json(folder / _NAME)
        seconds, timed, steps = (float(found[k]) for k in ("seconds", "timed_steps", "steps"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = seconds / timed * steps if timed > 0 else -1.0
    return whole if 0 <= whole < float("inf") else None
