"""Pairs of teacher and student: their names, their sizes, and what a run of each measured."""

from typing import NamedTuple

from kdtheory.arms import LABELS, Supervision
from kdtheory.models import summarize
from kdtheory.rows import Row
from kdtheory.runs.config import SELF_TEMPERATURE
from kdtheory.statistics.groups import arms_in
from kdtheory.statistics.seeds import differences, final_values, mean_complexity, percent
from kdtheory.studies.study import CaseRows, Values

SELF = Supervision("self", SELF_TEMPERATURE)


class Pair(NamedTuple):
    """Who teaches whom, as a run's name tells: TEACHER-STUDENT or TEACHER-ASSISTANT-STUDENT."""

    teacher: str
    assistant: str | None
    student: str

    @classmethod
    def of(cls, case: str) -> "Pair":
        """Return the pair of a run's name.

        >>> Pair.of("resnet8-lenet5x4-lenet5x1")
        Pair(teacher='resnet8', assistant='lenet5x4', student='lenet5x1')
        """
        teacher, *between, student = case.split("-")
        return cls(teacher, between[0] if between else None, student)


#: (h, w, c) of the data sets' images that are not CIFAR's.
_IMAGE_SHAPES = {"digits": (8, 8, 1), "synthetic": (8, 8, 3)}


def parameters(model: str, dataset: str) -> int:
    """Return a model's number of parameters for a data set's images and one output.

    >>> parameters("lenet5x1", "digits") < parameters("lenet5x1", "cifar100")
    True
    """
    shape = _IMAGE_SHAPES.get(dataset, (32, 32, 3))
    return summarize(model, num_outputs=1, image_shape=shape).num_params


def offline_arm(rows: list[Row]) -> Supervision:
    """Return the offline arm; the study has one temperature."""
    return next(arm for arm in arms_in(rows) if arm.name == "offline")


def teacher_accuracy(rows: list[Row]) -> Values:
    """Return {seed: per cent} of the teacher, or of its assistant."""
    return percent(final_values(rows, None, "test_accuracy"))


def labels_accuracy(rows: list[Row]) -> Values:
    """Return {seed: per cent} of the student on labels."""
    return percent(final_values(rows, LABELS, "test_accuracy"))


def offline_accuracy(rows: list[Row]) -> Values:
    """Return {seed: per cent} of the student of offline distillation."""
    return percent(final_values(rows, offline_arm(rows), "test_accuracy"))


def gap(rows: list[Row]) -> Values:
    """Return {seed: points} of a teacher's accuracy above its student's on labels."""
    return differences(teacher_accuracy(rows), labels_accuracy(rows))


def gain(rows: list[Row]) -> Values:
    """Return {seed: points} that offline distillation gains over labels."""
    return differences(offline_accuracy(rows), labels_accuracy(rows))


def self_gain(rows: list[Row]) -> Values:
    """Return {seed: points} that self-distillation gains over labels."""
    accuracy = percent(final_values(rows, SELF, "test_accuracy"))
    return differences(accuracy, labels_accuracy(rows))


def labels_complexity(rows: list[Row], name: str = "over_rms") -> Values:
    """Return {seed: value} of the labels on the student that they trained.

    `name` is adjusted complexity over the targets' root mean square, which their scale does not
    move, or another that `mean_complexity` knows.
    """
    return mean_complexity(rows, LABELS, LABELS, name)


def offline_complexity(rows: list[Row], name: str = "over_rms") -> Values:
    """Return {seed: value} of the offline teacher on the student on labels, named as there."""
    return mean_complexity(rows, LABELS, offline_arm(rows), name)


def student_families(case_rows: CaseRows) -> dict[str, list[str]]:
    """Return {kind: runs by the student's size} of the students of each kind under one teacher.

    The teacher is the first run's; a kind has at least two students.
    """
    direct = {case: Pair.of(case) for case in case_rows if Pair.of(case).assistant is None}
    teacher = next(iter(direct.values())).teacher
    kinds: dict[str, list[str]] = {}
    for case, pair in direct.items():
        if pair.teacher == teacher:
            kinds.setdefault(pair.student.rstrip("0123456789x"), []).append(case)
    for members in kinds.values():
        members.sort(
            key=lambda case: parameters(direct[case].student, case_rows[case][0]["dataset"])
        )
    return {kind: members for kind, members in kinds.items() if len(members) > 1}
