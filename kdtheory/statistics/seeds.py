"""Averages over seeds, and the values a seed that enter them."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from kdtheory.arms import Supervision
from kdtheory.rows import Row, arm_of, number, supervision_of

#: Stands beside what holds a network that ended at chance, or whose loss never fell.
FAILED = "†"


class MeanSd(NamedTuple):
    """Mean and sample standard deviation (n - 1 in the denominator) over seeds.

    `sd` is None with a single seed, where no deviation can be given; `mean` is None with none.
    """

    mean: float | None
    sd: float | None
    seeds: int


def mean_sd(values: Collection[float]) -> MeanSd:
    """Return mean and standard deviation of one value a seed.

    >>> mean_sd([1.0, 3.0])
    MeanSd(mean=2.0, sd=1.4142135623730951, seeds=2)
    >>> mean_sd([1.0])
    MeanSd(mean=1.0, sd=None, seeds=1)
    """
    n = len(values)
    if n == 0:
        return MeanSd(None, None, 0)
    mean = math.fsum(values) / n
    if n == 1:
        return MeanSd(mean, None, 1)
    return MeanSd(mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)), n)


def final_values(rows: Sequence[Row], arm: Supervision | None, name: str) -> dict[int, float]:
    """Return {seed: value} of the last epoch, for one arm's students or (arm None) the teachers.

    Seeds whose row has null there, or leaves an optional field out, are not in it.
    """
    return {
        row["seed"]: value
        for row in rows
        if row["final"] and _is_run(row, arm) and (value := number(row, name)) is not None
    }


def finished_seeds(rows: Sequence[Row], arm: Supervision) -> set[int]:
    """Return the seeds whose student on this arm was trained to the end.

    Only these are averaged: the complexity of half a training is not comparable with a whole one.
    """
    return {
        row["seed"]
        for row in rows
        if row["kind"] in ("student", "complexity") and row["final"] and arm_of(row) == arm
    }


def failures(rows: Sequence[Row], arm: Supervision | None) -> dict[int, str]:
    """Return {seed: why} of one arm's students, or the teachers, that their training did not train.

    They are in every mean, and marked wherever that stands.
    """
    return {
        row["seed"]: row["failure"]
        for row in rows
        if row["kind"] in ("teacher", "student")
        and row["final"]
        and _is_run(row, arm)
        and "failure" in row
    }


def failure_notes(rows: Sequence[Row], arms: Sequence[Supervision | None]) -> list[str]:
    """Return one line for each network that its training did not train (None: the teacher)."""
    return [
        f"{FAILED} {'teacher' if arm is None else arm.label}, seed {seed}: {why}; it is in the mean"
        for arm in arms
        for seed, why in sorted(failures(rows, arm).items())
    ]


def failure_line(rows: Sequence[Row]) -> list[str]:
    """Return the sentence that says how many networks were not trained by their training, if any.

    >>> failure_line([])
    []
    """
    ends = [row for row in rows if row["kind"] in ("teacher", "student") and row["final"]]
    failed = sum("failure" in row for row in ends)
    if not failed:
        return []
    return [
        f"{failed} of {len(ends)} networks ended at chance or with a loss that never fell"
        f" ({FAILED}); they are in every mean, so read those with care."
    ]


#: Adjusted complexity over what the targets' scale moves alike, by its name: the field divided by.
SCALE_FREE = {"over_rms": "target_rms", "over_margin": "margin"}


def complexity_value(row: Row, name: str) -> float | None:
    """Return a complexity row's field or one of `SCALE_FREE`, or None where it has none.

    >>> complexity_value({"adjusted_complexity": 3.0, "target_rms": 0.5}, "over_rms")
    6.0
    >>> complexity_value({"adjusted_complexity": 3.0, "margin": -0.1}, "over_margin")
    """
    if name not in SCALE_FREE:
        return number(row, name)
    adjusted, scale = number(row, "adjusted_complexity"), number(row, SCALE_FREE[name])
    return adjusted / scale if adjusted is not None and scale is not None and scale > 0 else None


def complexity_points(
    rows: Sequence[Row], student: Supervision, supervision: Supervision, name: str
) -> dict[int, dict[int, float]]:
    """Return {seed: {step: value}} of one supervision along the training of one arm's students.

    `name` is a field of the complexity rows ("complexity", "adjusted_complexity", "margin") or one
    of `SCALE_FREE`. Seeds whose training was not finished are left out.
    """
    finished = finished_seeds(rows, student)
    points: dict[int, dict[int, float]] = {}
    for row in rows:
        if (
            row["kind"] == "complexity"
            and row["seed"] in finished
            and arm_of(row) == student
            and supervision_of(row) == supervision
            and (value := complexity_value(row, name)) is not None
        ):
            points.setdefault(row["seed"], {})[row["step"]] = value
    return points


def mean_complexity(
    rows: Sequence[Row], student: Supervision, supervision: Supervision, name: str
) -> dict[int, float]:
    """Return {seed: mean over the measuring points} of what `complexity_points` returns."""
    points = complexity_points(rows, student, supervision, name)
    return {seed: math.fsum(along.values()) / len(along) for seed, along in points.items()}


def own_complexity(rows: Sequence[Row], arm: Supervision, name: str) -> dict[int, float]:
    """Return {seed: value} of an arm's own supervision on its own student, over its training."""
    return mean_complexity(rows, arm, arm, name)


def percent(values: Mapping[int, float]) -> dict[int, float]:
    """Return rates in per cent."""
    return {seed: 100 * value for seed, value in values.items()}


def differences(first: Mapping[int, float], second: Mapping[int, float]) -> dict[int, float]:
    """Return {seed: first less second} of the seeds that both have: differences in pairs."""
    return {seed: first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())}


def differences_along(
    rows: Sequence[Row],
    student: Supervision,
    first: Supervision,
    second: Supervision,
    name: str = "adjusted_complexity",
) -> dict[int, dict[int, float]]:
    """Return {seed: {step: first less second in `name`}}, where both were measured."""
    a, b = (complexity_points(rows, student, s, name) for s in (first, second))
    found = {
        seed: {step: a[seed][step] - b[seed][step] for step in sorted(a[seed].keys() & b[seed])}
        for seed in sorted(a.keys() & b.keys())
    }
    return {seed: along for seed, along in found.items() if along}


def measured_supervisions(rows: Sequence[Row], student: Supervision) -> list[Supervision]:
    """Return the supervisions whose complexity was measured on one arm's finished students."""
    finished = finished_seeds(rows, student)
    found = {
        supervision_of(row)
        for row in rows
        if row["kind"] == "complexity" and row["seed"] in finished and arm_of(row) == student
    }
    return sorted(found, key=lambda supervision: supervision.order)


def reference_student(rows: Sequence[Row], arms: Sequence[Supervision]) -> Supervision | None:
    """Return the arm on whose students all supervisions are compared, or None without complexities.

    Complexities are comparable on one kernel only, so one student is needed for all of them: the
    one trained on labels, which has not seen any teacher; else the first arm that was measured.
    """
    return next((arm for arm in arms if measured_supervisions(rows, arm)), None)


def unfinished_notes(rows: Sequence[Row], arms: Sequence[Supervision]) -> list[str]:
    """Return one line for each arm that has seeds whose training did not end."""
    notes = []
    for arm in arms:
        started = {
            row["seed"]
            for row in rows
            if row["kind"] in ("student", "complexity") and arm_of(row) == arm
        }
        left_out = sorted(started - finished_seeds(rows, arm))
        if left_out:
            listed = ", ".join(map(str, left_out))
            notes.append(f"{arm.label}: training not finished for seed {listed}; left out")
    return notes


def _is_run(row: Row, arm: Supervision | None) -> bool:
    if arm is None:
        return row["kind"] == "teacher"
    return row["kind"] == "student" and arm_of(row) == arm
