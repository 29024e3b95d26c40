"""The matched arm: online distillation in step with the complexity that a student takes on.

Algorithm 1 of the paper (Harutyunyan et al., ICLR 2023) changes the online teacher by time: at the
student's step t teaches the first checkpoint with t_i >= t. Its reason is complexity: early
checkpoints are simpler. Complexity-matched online distillation, ours, takes the reason for the
rule.

A pilot, the student trained on labels, tells how this student takes on complexity. Its predictions
at step t are put into the form of a teacher's targets (the same temperature, the same share of
labels), as if it were its own teacher; S(t) is the complexity of these targets with the kernel of
the untrained student, the same that gives the complexity T(i) of checkpoint i's targets. So both
are squared norms of one kernel's functions. At step t teaches the latest checkpoint with
T(i) / T(m) <= S(t) / S(end): the teacher has taken on the same part of its final complexity as the
pilot has of its own. Before there is one, the first checkpoint teaches; at the end the last one
does. S is taken linear between the measuring points and replaced by its running maximum, so that
the teacher never goes back.

The parts, and not the complexities themselves, are matched, since a weak student's own functions
stay far below its teacher's: with T(i) <= S(t) the second of twenty checkpoints taught to the end,
and the student on it was 14 to 23 points less accurate than by time (even against odd digits, three
seeds, the setting of the study `schedule`).

With `matched_on` "over_rms" T and S are complexities over the targets' mean square: else a teacher
whose logits grow seems to take on complexity by scale alone.

The student of the matched arm then sees the online teacher's checkpoints at other steps, and
nothing else differs from the online arm.
"""

from collections.abc import Sequence

import numpy as np

from kdtheory.runs.seed import Seed


def matched_steps(
    teacher: Sequence[float], points: Sequence[int], student: Sequence[float]
) -> tuple[int, ...]:
    """Return the last step at which each checkpoint teaches: a trajectory's new steps.

    Args:
      teacher: T >= 0, the complexity of each checkpoint's targets, in the order of the checkpoints.
      points: steps at which S was measured, increasing; the first is 0, the last that of the end.
      student: S >= 0 at these steps. A pilot that took on nothing (S = 0 throughout) sets no pace:
        the last checkpoint teaches at once.

    Returns:
      One step a checkpoint, never falling; the last one's is the last step of all. A checkpoint at
      the step of the one before it, or at -1, never teaches.

    >>> matched_steps([1.0, 2.0, 4.0], points=[0, 10], student=[0.0, 8.0])
    (4, 9, 10)
    >>> matched_steps([3.0, 1.0, 2.0, 4.0], points=[0, 10], student=[0.0, 4.0])
    (2, 4, 9, 10)
    """
    steps = np.arange(points[-1] + 1)
    reached = np.interp(steps, points, np.maximum.accumulate(student))
    # Once a later checkpoint is due, the earlier ones are passed over.
    asked = np.minimum.accumulate(teacher[::-1])[::-1]
    # Multiplied out: neither end may be divided by where it is zero.
    begins = np.searchsorted(reached * asked[-1], asked * reached[-1], side="left")
    return (*(int(begin) - 1 for begin in begins[1:]), points[-1])


def matched_schedule(seed: Seed, temperature: float) -> tuple[int, ...]:
    """Return the matched arm's last step of each checkpoint of the online teacher.

    Args:
      seed: its student on labels is trained: the pilot.
      temperature: of the arm.
    """
    if temperature in seed.schedules:
        return seed.schedules[temperature]
    checkpoints = [seed.measured(logits) for logits in seed.online_teacher.logits]
    measured = seed.complexities(
        seed.kernel_at_init(),
        [seed.targets_of(logits, temperature) for logits in (*checkpoints, *seed.learned.values())],
    )
    # Where only intervals are known, their middles set the pace.
    values = [each.complexity.middle for each in measured]
    if seed.config.teaching.matched_on == "over_rms":
        # Targets that are all zero have taken on nothing.
        values = [
            c / each.rms**2 if each.rms else 0.0 for c, each in zip(values, measured, strict=True)
        ]
    m = len(checkpoints)
    seed.schedules[temperature] = matched_steps(values[:m], list(seed.learned), values[m:])
    return seed.schedules[temperature]
