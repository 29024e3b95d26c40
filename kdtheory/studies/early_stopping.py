"""The teacher's stopping time: complexity, margin, the bound's terms and accuracy as it grows."""

from collections.abc import Sequence
from typing import Any

from kdtheory.arms import LABELS, Supervision
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.rows import BoundRow, Row, arm_of, complexities, students, supervision_of
from kdtheory.runs.config import RunConfig
from kdtheory.statistics.bounds import bounds_of
from kdtheory.statistics.findings import Finding, finding
from kdtheory.statistics.seeds import complexity_value, final_values, percent
from kdtheory.studies.setting import BOUND_RIDGES, binary_setting
from kdtheory.studies.study import CaseRows, Expectation, Size, Study, Values
from kdtheory.studies.varied_setting import (
    BOUND_CAPTION,
    OF_TARGETS,
    Place,
    accuracy_of,
    chosen_gain,
    minima_table,
    near_best,
    of_bound,
    of_targets,
    same_order,
    terms_table,
    trend,
)
from kdtheory.studies.varied_setting_figure import Line, draw_terms_and_accuracy

#: Parts of the teacher's training after which it is stopped; the last is the whole of it.
STOPS = (0.1, 0.2, 0.4, 0.7, 1.0)
_STOPS_OF: dict[Size, tuple[float, ...]] = {
    "smoke": (0.25, 0.5, 1.0), "small": (0.1, 0.3, 1.0), "full": STOPS
}  # fmt: skip

#: A run's name begins so, and goes on with the part of training.
_STOP = "stop-"

#: What lets a teacher overfit: a fifth of the labels is wrong, and it sees the images as they are.
_OVERFITTING: dict[Size, dict[str, Any]] = {
    "smoke": {"epochs": 4, "teacher_checkpoints": 4, "temperatures": (1.0, 4.0)},
    "small": {
        "label_noise": 0.2, "teacher_augment": False, "teacher": "resnet8", "teacher_epochs": 60,
        "temperatures": (4.0,),
    },
    "full": {"label_noise": 0.2, "teacher_augment": False, "temperatures": (1.0, 4.0)},
}  # fmt: skip


def cases(size: Size) -> dict[str, RunConfig]:
    """Return a run for each stopping time; the labels' students are in that of the whole teacher.

    Stopped teachers are checkpoints of one training, so a seed has one teacher.
    """
    return {
        f"{_STOP}{stop:g}": binary_setting(
            size,
            arms=("labels", "offline") if stop == 1 else ("offline",),
            points=3 if size == "full" else 2,
            teacher_stop=stop,
            bounds=True,
            bound_ridges=BOUND_RIDGES,
            **_OVERFITTING[size],
        )
        for stop in _STOPS_OF[size]
    }


def analyse(case_rows: CaseRows) -> Results:
    """Set what the bound says about the stopping time beside what it does to accuracy."""
    groups = {arm.label: places_of(case_rows, arm) for arm in _arms(case_rows)}
    whole = case_rows[max(case_rows, key=stop_of)]
    caption = (
        "Stopping time: part of the teacher's training, whose learning-rate schedule is that of "
        "the whole. Mean ± standard deviation over seeds. Complexity, its adjusted form and the "
        "margin are of the stopped teacher's targets with the student's kernel at initialisation, "
        "the same at every stopping time; adjusted / margin does not change with the targets' "
        f"scale. {BOUND_CAPTION}"
    )
    along = {arm: checkpoint_bounds(whole, arm) for arm in _arms(case_rows)}
    earliest = {arm.label: smallest_checkpoint(points) for arm, points in along.items()}
    tables = [
        terms_table(
            [place for places in groups.values() for place in places], "stopping time", caption
        ),
        minima_table(
            groups, "stopping time", {"time of the smallest bound over all checkpoints": earliest}
        ),
    ]
    figure = CaptionedFigure(
        "early_stopping",
        "Left: adjusted complexity and margin of the stopped teacher's targets, and their ratio, "
        "at the student's initialisation. Middle: the bound and its terms for every checkpoint of "
        "the teacher, and the test error of the students of the stopped ones; above the dashed "
        "line a bound says nothing. Right: test accuracy after the last epoch. Means over seeds, "
        "bands and bars one standard deviation to each side; the vertical line is at the smallest "
        "mean bound.",
        draw_terms_and_accuracy(
            [Line(arm.label, groups[arm.label], points) for arm, points in along.items()],
            "teacher's stopping time (part of its training)",
            labels_accuracy=percent(final_values(whole, LABELS, "test_accuracy")),
        ),
    )
    found = [
        each
        for arm, points in along.items()
        for each in _findings(arm.label, groups[arm.label], points)
    ]
    return Results(tables, [figure], found)


def stop_of(case: str) -> float:
    """Return the stopping time in a run's name.

    >>> stop_of("stop-0.4")
    0.4
    """
    return float(case.removeprefix(_STOP))


def places_of(case_rows: CaseRows, arm: Supervision) -> list[Place]:
    """Return the students of one arm by the stopping time of their teacher."""
    return [
        Place(stop_of(case), arm, case_rows[case], _at_initialisation(case_rows[case], arm))
        for case in sorted(case_rows, key=stop_of)
    ]


def checkpoint_bounds(rows: Sequence[Row], arm: Supervision) -> list[tuple[float, list[BoundRow]]]:
    """Return the bounds of every checkpoint of a teacher, by its part of the training.

    Args:
      rows: of the run with the whole teacher, whose "online" bounds are one a checkpoint.
      arm: whose temperature is meant.
    """
    at_steps: dict[float, list[BoundRow]] = {}
    for row in bounds_of(rows, Supervision("online", arm.temperature)):
        step = row.get("checkpoint_step")
        if step is not None:
            at_steps.setdefault(step, []).append(row)
    last = max(at_steps, default=1.0)
    return [(step / last, at_steps[step]) for step in sorted(at_steps)]


def smallest_checkpoint(points: Sequence[tuple[float, Sequence[BoundRow]]]) -> Values:
    """Return {seed: part of the training} of the checkpoint with the smallest bound."""
    found: dict[int, tuple[float, float]] = {}
    for part, rows in points:
        for row in rows:
            best = found.get(row["seed"])
            if best is None or row["bound"] < best[0]:
                found[row["seed"]] = (row["bound"], part)
    return {seed: part for seed, (_, part) in sorted(found.items())}


def _arms(case_rows: CaseRows) -> list[Supervision]:
    found = {arm_of(row) for rows in case_rows.values() for row in students(rows)}
    return sorted((arm for arm in found if arm.name == "offline"), key=lambda arm: arm.order)


def _at_initialisation(rows: Sequence[Row], arm: Supervision) -> dict[str, Values]:
    """Return the targets' values with the kernel at initialisation, the same for every student."""
    return {
        name: {
            row["seed"]: value
            for row in complexities(rows)
            if row["step"] == 0
            and supervision_of(row) == arm
            and (value := complexity_value(row, name)) is not None
        }
        for name in OF_TARGETS
    }


def _validation(place: Place) -> Values:
    return final_values(place.rows, place.arm, "validation_accuracy")


def _findings(
    label: str, places: list[Place], points: Sequence[tuple[float, Sequence[BoundRow]]]
) -> list[Finding]:
    bound, final = of_bound("bound"), places[-1]
    found = [
        trend(
            f"{label}: adjusted complexity rises with the stopping time",
            places,
            of_targets("adjusted_complexity"),
            1.0,
        ),
        trend(
            f"{label}: the bound's teacher error falls with the stopping time",
            places,
            of_bound("teacher_error"),
            -1.0,
        ),
        near_best(
            f"{label}: the stopping time of the smallest bound is within one step of that of the "
            "best accuracy",
            places,
            bound,
        ),
        same_order(
            f"{label}: a smaller bound goes with higher accuracy over the stopping times",
            places,
            bound,
        ),
        finding(
            f"{label}: over all checkpoints the bound is smallest before the end",
            [1 - part for part in smallest_checkpoint(points).values()],
            unit=" of the training before it",
        ),
    ]
    found += [
        chosen_gain(
            f"{label}: the teacher stopped at {place.value:g} beats the final one",
            [place],
            accuracy_of,
            final,
        )
        for place in places[:-1]
    ]
    found.append(
        chosen_gain(
            f"{label}: the teacher of the smallest bound beats the final one", places, bound, final
        )
    )
    if any(_validation(place) for place in places):
        found.append(
            chosen_gain(
                f"{label}: the teacher of the best validation accuracy beats the final one",
                places,
                _validation,
                final,
                -1.0,
            )
        )
    return found


EARLY_STOPPING = Study(
    name="early_stopping",
    question="When should the teacher be stopped: what does the bound say, and what accuracy?",
    expected=(
        "A teacher is simple early in its training: complexity rises with the stopping time while "
        "the teacher's error falls, so the bound has its minimum between, and a weak student does "
        "better with a teacher stopped before the end. If the bound is of use, its minimum lies "
        "near that of the student's error."
    ),
    cases=cases,
    costs={
        "smoke": "seconds",
        "small": "15 min on one core",
        "full": "needs an accelerator; not measured",
    },
    varied={"teacher": "when the teacher is stopped, and so how good it is, is what this varies"},
    expectations=(
        Expectation("an early teacher suits a weak student", ("beats the final one",)),
        Expectation(
            "the bound finds when to stop",
            ("a smaller bound", "smallest bound", "bound is smallest"),
            in_readme=False,
        ),
        Expectation("an early teacher is simpler", ("complexity rises",), in_readme=False),
    ),
    analyse=analyse,
)
