"""Checkpoints that teach in turn: what methods on a teacher's trajectory choose."""

from collections.abc import Sequence
from typing import NamedTuple


class Turn(NamedTuple):
    """One checkpoint's time as the teacher."""

    checkpoint: int
    """Its position in the trajectory."""
    until: int
    """The student's last update that it teaches."""


def steps_of(checkpoints: int, turns: Sequence[Turn]) -> tuple[int, ...]:
    """Return the last step of each checkpoint: what `Trajectory.rescheduled` takes.

    Args:
      checkpoints: how many the trajectory has.
      turns: in time; their checkpoints and their last steps increase.

    Returns:
      A step a checkpoint, never falling. One that has no turn gets the step of the one before it,
      or -1, and so never teaches.

    >>> steps_of(5, [Turn(1, 10), Turn(4, 40)])
    (-1, 10, 10, 10, 40)
    """
    until = dict(turns)
    steps, last = [], -1
    for checkpoint in range(checkpoints):
        last = until.get(checkpoint, last)
        steps.append(last)
    return tuple(steps)
