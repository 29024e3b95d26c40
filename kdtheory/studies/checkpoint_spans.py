"""When each of a teacher's checkpoints teaches, and how complex it is, as a run's rows tell."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from kdtheory.arms import Supervision
from kdtheory.errors import InputError
from kdtheory.rows import Row, students
from kdtheory.runs.teacher_checkpoints import thinned
from kdtheory.statistics.bounds import bounds_of, norm_term
from kdtheory.statistics.seeds import finished_seeds


def checkpoint_complexities(
    rows: Sequence[Row], temperature: float | None
) -> dict[int, dict[int, float]]:
    """Return {seed: {checkpoint's step: complexity}} of a teacher's whole trajectory.

    The complexity is (1/n) sqrt(||h||^2 Tr K) with K the kernel of the untrained student and h the
    fit of Y - f_0, f_0 the untrained student: so all checkpoints, and all teachers of a seed, stand
    on one kernel. It is read off the rows of kind "bound".

    >>> row = dict(kind="bound", seed=0, supervision="online", supervision_temperature=4.0, n=10,
    ...            checkpoint_step=5, squared_norm=4.0, trace=100.0)
    >>> checkpoint_complexities([row], 4.0)
    {0: {5: 2.0}}
    """
    found: dict[int, dict[int, float]] = {}
    for row in bounds_of(rows, Supervision("online", temperature)):
        step = row.get("checkpoint_step")
        if step is not None:
            found.setdefault(row["seed"], {})[int(step)] = norm_term(row)
    return {seed: dict(sorted(along.items())) for seed, along in found.items()}


@dataclasses.dataclass(frozen=True)
class Teaching:
    """Which checkpoint of a teacher teaches at each step of a student's training.

    >>> teaching = Teaching(checkpoints=(5, 10), until=(4, 10), total_steps=10)
    >>> teaching.spans, teaching.changes
    ({5: 4, 10: 6}, 1)
    """

    checkpoints: tuple[int, ...]
    """Their steps in the teacher's training."""
    until: tuple[int, ...]
    """The last step of the student at which each teaches, never falling."""
    total_steps: int
    """Of the student's training."""

    @property
    def spans(self) -> dict[int, int]:
        """{checkpoint: the number of the student's steps that it teaches}, where that is not 0."""
        found: dict[int, int] = {}
        begin = 0
        # The last checkpoint teaches whatever comes after its own step.
        for checkpoint, last in zip(
            self.checkpoints, (*self.until[:-1], self.total_steps), strict=True
        ):
            end = min(max(last, begin), self.total_steps)
            if end > begin:
                found[checkpoint] = end - begin
            begin = end
        return found

    @property
    def changes(self) -> int:
        """How often the teacher changes."""
        return len(self.spans) - 1

    def mean(self, values: Mapping[int, float]) -> float:
        """Return the mean over the student's training of a value by checkpoint."""
        spans = self.spans
        return math.fsum(steps * values[at] for at, steps in spans.items()) / self.total_steps


def teachings(
    rows: Sequence[Row], arm: Supervision, online_checkpoints: int
) -> dict[int, Teaching]:
    """Return, for each seed whose student on an arm has finished, what taught it when.

    Args:
      rows: of one run, its bounds among them.
      arm: offline, online or matched.
      online_checkpoints: how many checkpoints the online teacher uses.

    Raises:
      InputError: another arm.
    """
    if arm.name not in ("offline", "online", "matched"):
        raise InputError(f"no teacher's checkpoints teach the arm {arm.label!r}")
    trajectories = checkpoint_complexities(rows, arm.temperature)
    found: dict[int, Teaching] = {}
    for seed in sorted(finished_seeds(rows, arm) & trajectories.keys()):
        row = next(row for row in students(rows, arm) if row["final"] and row["seed"] == seed)
        steps = list(trajectories[seed])
        used = tuple(steps[i] for i in thinned(steps, min(online_checkpoints, len(steps))))
        if arm.name == "offline":
            used = used[-1:]
        until = tuple(row.get("schedule", used))
        found[seed] = Teaching(used, until, row["step"])
    return found
