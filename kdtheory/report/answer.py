"""The three lines with which a report begins: how well, how complex, and do the two go together."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from kdtheory.arms import LABELS, RANDOM_LABELS, Supervision
from kdtheory.report.columns import with_spread
from kdtheory.report.table import format_cell
from kdtheory.rows import Row
from kdtheory.statistics.comparison import UNKNOWN, Comparison
from kdtheory.statistics.findings import Finding, verdict_line
from kdtheory.statistics.groups import RunGroup, arms_in, group_rows
from kdtheory.statistics.seeds import (
    MeanSd,
    final_values,
    mean_complexity,
    mean_sd,
    measured_supervisions,
    percent,
    reference_student,
)


class _Answer(NamedTuple):
    """What one run group says."""

    group: RunGroup
    accuracy: dict[Supervision | None, MeanSd]
    """Test accuracy in per cent, by arm (None: the teacher)."""
    reference: Supervision | None
    """The student on which all supervisions were measured."""
    complexity: dict[Supervision, MeanSd]
    """Adjusted complexity of each supervision on it, over its training."""

    @property
    def best(self) -> Supervision | None:
        """The arm whose students are the most accurate."""
        arms = [arm for arm in self.accuracy if arm is not None]
        return max(arms, key=lambda arm: _mean(self.accuracy[arm]), default=None)

    @property
    def easiest(self) -> Supervision | None:
        """The least complex supervision."""
        return min(self.complexity, key=lambda one: _mean(self.complexity[one]), default=None)


def answer_lines(
    rows: Sequence[Row], found: Sequence[Finding], comparison: Comparison = UNKNOWN
) -> list[str]:
    """Return the lines: what the rows say of accuracy, of complexity, and of both together.

    A line whose measurements are not there is left out, but for the last.

    Args:
      rows: of one or several runs.
      found: the findings of these rows.
      comparison: what is known of several runs besides.

    Raises:
      InputError: one arm has several alphas.
    """
    answers = [_of(group, members) for group, members in group_rows(rows, comparison).items()]
    if len(answers) == 1:
        lines = [_how_well(answers[0]), _how_complex(answers[0])]
        lines += [f"{_together(found)}{verdict_line(found)}"]
    else:
        lines = [_how_well_in_all(answers), _how_complex_in_all(answers), verdict_line(found)]
    return [line for line in lines if line]


def _of(group: RunGroup, rows: Sequence[Row]) -> _Answer:
    arms = arms_in(rows)
    accuracy = {
        arm: mean_sd(percent(final_values(rows, arm, "test_accuracy")).values())
        for arm in (None, *arms)
    }
    reference = reference_student(rows, arms)
    complexity = {}
    if reference is not None:
        for one in measured_supervisions(rows, reference):
            values = mean_complexity(rows, reference, one, "adjusted_complexity")
            complexity[one] = mean_sd(values.values())
    return _Answer(
        group,
        {arm: value for arm, value in accuracy.items() if value.mean is not None},
        reference,
        {one: value for one, value in complexity.items() if value.mean is not None},
    )


def _how_well(answer: _Answer) -> str:
    best = answer.best
    if best is None:
        return ""
    others = [
        f"{words} {with_spread(answer.accuracy[arm])} %"
        for arm, words in ((LABELS, "on labels"), (None, "the teacher"))
        if arm in answer.accuracy and arm != best
    ]
    beside = f" ({'; '.join(others)})" if others else ""
    return (
        f"How well: the student on {best.label} is the most accurate, with"
        f" {with_spread(answer.accuracy[best])} % of the test examples right{beside}."
    )


def _how_complex(answer: _Answer) -> str:
    one = answer.easiest
    if one is None or answer.reference is None or len(answer.complexity) < 2:
        return ""
    others = [other for other in answer.complexity if other not in (one, RANDOM_LABELS)]
    hardest = max(others, key=lambda other: _mean(answer.complexity[other]), default=None)
    said = [f"{one.label} is the least complex supervision ({format_cell(answer.complexity[one])})"]
    if hardest is not None:
        said.append(f"{hardest.label} the most ({format_cell(answer.complexity[hardest])})")
    control = answer.complexity.get(RANDOM_LABELS)
    if control is not None and one != RANDOM_LABELS:
        said.append(f"random labels, the control, have {format_cell(control)}")
    return (
        f"How complex, adjusted, on the student trained on {answer.reference.label}:"
        f" {', '.join(said)}."
    )


def _together(found: Sequence[Finding]) -> str:
    """Return what was found on complexity and accuracy over the arms, as a sentence."""
    both = [each for each in found if each.hypothesis.startswith("less complex own supervision")]
    return "".join(f"{each.hypothesis.capitalize()}: {each.verdict}. " for each in both[:1])


def _how_well_in_all(answers: Sequence[_Answer]) -> str:
    trained = [answer for answer in answers if answer.best is not None]
    if not trained:
        return ""
    best = max(trained, key=lambda answer: _mean(answer.accuracy[answer.best]))
    compared = [
        answer for answer in trained if LABELS in answer.accuracy and len(answer.accuracy) > 1
    ]
    better = sum(answer.best != LABELS for answer in compared)
    beside = (
        f" In {better} of {len(compared)} runs the most accurate student is not the one on labels."
        if compared
        else ""
    )
    assert best.best is not None
    return (
        f"How well: the most accurate student, on {best.best.label} in {best.group.title}, has"
        f" {with_spread(best.accuracy[best.best])} % of the test examples right.{beside}"
    )


def _how_complex_in_all(answers: Sequence[_Answer]) -> str:
    measured = [answer for answer in answers if len(answer.complexity) > 1]
    if not measured:
        return ""
    counts = Counter(answer.easiest for answer in measured)
    said = ", ".join(f"{one.label} in {count}" for one, count in counts.most_common() if one)
    return (
        f"How complex: of what was measured on one student of each of {len(measured)} runs, the"
        f" least complex supervision is {said}."
    )


def _mean(value: MeanSd) -> float:
    assert value.mean is not None  # others were left out
    return value.mean
