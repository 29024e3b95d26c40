"""Whether a setting can decide anything: teacher above student, student fitted, none at chance.

A gain in a setting where nothing is learnt, or where no student has come far, says nothing of what
teaching does. The gate is read off rows, before a study's findings are judged.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from kdtheory.analysis.health import is_at_chance
from kdtheory.arms import LABELS, Supervision
from kdtheory.rows import Row, students, teachers
from kdtheory.statistics.groups import arms_in
from kdtheory.statistics.seeds import differences, failures, final_values, mean_sd
from kdtheory.statistics.tuning import chosen_rates

#: What a setting is checked for.
Check: TypeAlias = Literal["teacher", "fit", "chance"]

#: Standard errors of an accuracy on the test set by which the teacher is above the student.
DEVIATIONS = 3.0

#: Training accuracy from which on a student has nearly fitted its training set.
FITTED = 0.9

#: The difference in accuracy that a study should be able to tell, where it does not say another.
LOOKED_FOR = 0.02

#: The gate, for a reader of a study.
GATE = (
    f"Gate: a setting decides only where the teacher's test accuracy is above that of the student "
    f"on labels by more than {DEVIATIONS:g} standard errors of an accuracy on its test set, where "
    f"the student on labels has fitted at least {100 * FITTED:g} % of its training set, and where "
    "no network ended at chance. Else its verdicts are “open: setting” and not counted. So are a "
    "difference in accuracy that is decided but smaller than what another test set of that size "
    "would move it by (one standard error, as if errors were independent), and one that is "
    "undecided with an interval wider than the difference that is looked for."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SettingHealth:
    """How far the networks of one setting came, and which checks it fails."""

    name: str
    teacher_train: Mapping[int, float]
    """{seed: accuracy}, as the next three."""
    teacher_test: Mapping[int, float]
    student_train: Mapping[int, float]
    """Of the student on labels."""
    student_test: Mapping[int, float]
    teacher_updates: int | None
    student_updates: int
    test_examples: int
    rates: str
    """The learning rates of the arms, and the teacher's."""
    gain_sd: float | None
    """Standard deviation over seeds of an arm's paired gain over labels, pooled over the arms."""
    looked_for: float
    """The difference in accuracy that should be told."""
    faults: Mapping[Check, str]
    """What it fails, in words."""

    @property
    def accuracy_error(self) -> float:
        """Standard error of the student's accuracy on the test set, sqrt(p (1 - p) / n)."""
        p = mean_sd(self.student_test.values()).mean
        assert p is not None  # a setting has a student on labels
        return math.sqrt(p * (1 - p) / self.test_examples)

    @property
    def difference_error(self) -> float:
        """Standard error of a difference of two accuracies on it, as if errors were independent."""
        return math.sqrt(2) * self.accuracy_error

    @property
    def seeds_needed(self) -> int | None:
        """How many seeds tell the difference looked for; None where one seed was run."""
        return None if self.gain_sd is None else seeds_to_resolve(self.gain_sd, self.looked_for)


def seeds_to_resolve(sd: float, difference: float) -> int:
    """Return the fewest seeds, at least 2, whose 95 % t-interval's half-width is a difference.

    t(n - 1) sd / sqrt(n) <= difference.

    Args:
      sd: standard deviation over seeds of the paired difference.
      difference: to be told, in the same unit, above 0.

    >>> seeds_to_resolve(0.01, 0.02), seeds_to_resolve(0.02, 0.02)
    (4, 7)
    """
    from scipy.special import stdtrit

    n = max(2, math.ceil((1.96 * sd / difference) ** 2))
    while float(stdtrit(n - 1, 0.975)) * sd / math.sqrt(n) > difference:
        n += 1
    return n


def setting_health(
    name: str,
    rows: Sequence[Row],
    *,
    test_examples: int,
    num_classes: int | None,
    rate: float,
    teacher_rate: float | None,
    looked_for: float = LOOKED_FOR,
) -> SettingHealth | None:
    """Return how far the networks of one setting came; None without a student on labels.

    Args:
      name: of the setting.
      rows: of its networks: one teacher, one student, any arms and seeds.
      test_examples: of the test accuracies.
      num_classes: of the task; None where it is not known, and then only networks that the run
        itself marked ("failure") are at chance.
      rate: the students' learning rate where it was not tuned.
      teacher_rate: None for a teacher that was not trained.
      looked_for: the difference in accuracy that should be told.
    """
    student_test = final_values(rows, LABELS, "test_accuracy")
    student_train = final_values(rows, LABELS, "train_accuracy")
    teacher_test = final_values(rows, None, "test_accuracy")
    if not student_test or not student_train:
        return None
    arms = arms_in(rows)
    last_of_teacher = [row["step"] for row in teachers(rows) if row["final"]]
    of_arms = chosen_rates(rows)
    told = [f"{arm.label}: {found:g}" for arm, found in of_arms.items()] or [f"students: {rate:g}"]
    found = SettingHealth(
        name=name,
        teacher_train=final_values(rows, None, "train_accuracy"),
        teacher_test=teacher_test,
        student_train=student_train,
        student_test=student_test,
        teacher_updates=max(last_of_teacher, default=None),
        student_updates=max(row["step"] for row in students(rows, LABELS)),
        test_examples=test_examples,
        rates="; ".join([*told, *([f"teacher: {teacher_rate:g}"] if teacher_rate else [])]),
        gain_sd=_pooled_sd(rows, arms),
        looked_for=looked_for,
        faults={},
    )
    faults: dict[Check, str] = {}
    above = mean_sd(differences(teacher_test, student_test).values()).mean
    wanted = DEVIATIONS * found.accuracy_error
    if above is None:
        faults["teacher"] = "the teacher's test accuracy is not known"
    elif above <= wanted:
        faults["teacher"] = (
            f"the teacher is {100 * above:.1f} points above the student on labels, of at least "
            f"{100 * wanted:.1f}"
        )
    fitted = mean_sd(student_train.values()).mean
    assert fitted is not None
    if fitted < FITTED:
        faults["fit"] = (
            f"the student on labels has fitted {100 * fitted:.1f} % of its training set, of at "
            f"least {100 * FITTED:g}"
        )
    if lost := _at_chance(rows, arms, num_classes, test_examples):
        faults["chance"] = f"at chance: {', '.join(lost)}"
    return dataclasses.replace(found, faults=faults)


def _pooled_sd(rows: Sequence[Row], arms: Sequence[Supervision]) -> float | None:
    """Return the root mean square over the arms of the deviation of their gains over labels."""
    base = final_values(rows, LABELS, "test_accuracy")
    gains = [
        mean_sd(differences(final_values(rows, arm, "test_accuracy"), base).values()).sd
        for arm in arms
        if arm != LABELS
    ]
    known = [sd for sd in gains if sd is not None]
    return math.sqrt(math.fsum(sd**2 for sd in known) / len(known)) if known else None


def _at_chance(
    rows: Sequence[Row], arms: Sequence[Supervision], num_classes: int | None, examples: int
) -> list[str]:
    """Return the networks that a run marked as untrained, or that guess on the test set."""
    found = []
    for arm in (None, *arms):
        lost = set(failures(rows, arm))
        if num_classes is not None:
            lost |= {
                seed
                for seed, value in final_values(rows, arm, "test_accuracy").items()
                if is_at_chance(value, num_classes=num_classes, examples=examples)
            }
        if lost:
            label = "teacher" if arm is None else arm.label
            seeds = ", ".join(map(str, sorted(lost)))
            found.append(f"{label} (seed{'s' * (len(lost) > 1)} {seeds})")
    return found
