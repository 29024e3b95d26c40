"""The field's methods on one footing: what supervises, how complex it is, how far it gets."""

from collections.abc import Mapping, Sequence
from typing import Any

from kdtheory.arms import LABELS, Supervision
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.table import Line, Table
from kdtheory.rows import Row, number, students
from kdtheory.runs.config import RunConfig
from kdtheory.statistics.correlations import rank_correlations
from kdtheory.statistics.findings import Finding, finding
from kdtheory.statistics.groups import arms_in
from kdtheory.statistics.seeds import differences, final_values, own_complexity, percent
from kdtheory.statistics.tuning import chosen_rates
from kdtheory.studies.methods_figure import methods_figure
from kdtheory.studies.setting import learnable_setting, setting
from kdtheory.studies.study import CaseRows, Expectation, Size, Study, Values

#: Every arm but the paper's variants of its own (matched, self).
ARMS = (
    "labels", "offline", "online", "dkd", "dist", "lskd", "rco", "one_checkpoint",
    "two_checkpoints", "dml", "crd", "sskd", "css",
)  # fmt: skip

#: Of the plain arms, and of those that take a run's: the one that the field uses.
TEMPERATURE = 4.0
OFFLINE = Supervision("offline", TEMPERATURE)


def cases(size: Size) -> dict[str, RunConfig]:
    """Return a run a student: all arms, each at the rate that validation images choose for it."""
    arms: dict[str, Any] = {"arms": ARMS, "temperatures": (TEMPERATURE,)}
    if size == "smoke":
        # Images and networks that suit all of them: squares, a convolution that halves its map.
        return {
            "lenet5x1": setting(
                size, dataset="digits", task="full", train_size=32, validation_size=16,
                test_size=32, student="lenet5x1", kernel="trace", online_until=0.5, **arms,
            )
        }  # fmt: skip
    rates = {"tune": (0.03, 0.1, 0.3), "teacher": "resnet20"}
    if size == "small":
        # A cell of the study of the regime, in which a student on labels fits its images. After 36
        # epochs it had not, and no arm chose 0.01.
        return {
            "lenet5x2": learnable_setting(
                size, train_size=3_000, epochs=54, points=3, accuracy_points=7, **rates, **arms
            )
        }
    return {
        student: learnable_setting(
            size, task="full", train_size=None, validation_size=5_000, student=student,
            epochs=60, seeds=3, points=3, accuracy_points=13, **rates, **arms,
        )
        for student in ("resnet8", "lenet5x8")
    }  # fmt: skip


def best_epoch(rows: Sequence[Row], arm: Supervision) -> Values:
    """Return {seed: test accuracy at the best of the measured epochs}: chosen on the test set."""
    found: Values = {}
    for row in students(rows, arm):
        accuracy = number(row, "test_accuracy")
        if accuracy is not None:
            found[row["seed"]] = max(accuracy, found.get(row["seed"], accuracy))
    return found


def analyse(case_rows: CaseRows) -> Results:
    """Put all methods into one table, and hold what is expected of them against it."""
    caption = (
        "Test accuracy in per cent, gains in points, mean ± standard deviation over seeds; gains "
        "are paired: all arms of a seed start from the same parameters (css from its own) and see "
        "the same batches. Best epoch: the best of the measured ones, chosen on the test set, "
        "which flatters. Complexity (adjusted, and over the targets' root mean square, which no "
        "scale of the targets changes) and margin are of what the arm shows its student as "
        "targets, on that student, averaged over the measuring points; fidelity and NTK "
        "similarity are to the run's teacher, which dml and css do not have. Seconds: of a "
        "student's training at its rate, without the teacher's, compiling and measuring."
    )
    lines = [_line(case, rows, arm) for case, rows in case_rows.items() for arm in arms_in(rows)]
    figure = CaptionedFigure(
        "methods",
        "Left: gain in test accuracy over offline distillation at τ = 4, in points, paired by "
        "seed: mean and its 95 % t-interval, strokes the seeds. Right: test accuracy after the "
        "last epoch against the complexity, over root mean square, of what the student is shown.",
        methods_figure(
            {
                case: {
                    arm.label: (
                        percent(_gain(rows, arm, OFFLINE)),
                        own_complexity(rows, arm, "over_rms"),
                        percent(final_values(rows, arm, "test_accuracy")),
                    )
                    for arm in arms_in(rows)
                }
                for case, rows in case_rows.items()
            }
        ),
    )
    found = [each for case, rows in case_rows.items() for each in _findings(case, rows)]
    return Results([Table.of_lines("table", caption, lines)], [figure], found)


def _gain(rows: Sequence[Row], arm: Supervision, over: Supervision) -> Values:
    first, second = (final_values(rows, each, "test_accuracy") for each in (arm, over))
    return {} if arm == over else differences(first, second)


def _line(case: str, rows: Sequence[Row], arm: Supervision) -> Line:
    return {
        "student": case,
        "arm": arm.label,
        "rate": chosen_rates(rows).get(arm),
        "train, last epoch": percent(final_values(rows, arm, "train_accuracy")),
        "test, last epoch": percent(final_values(rows, arm, "test_accuracy")),
        "test, best epoch": percent(best_epoch(rows, arm)),
        "gain over labels": percent(_gain(rows, arm, LABELS)),
        "gain over offline": percent(_gain(rows, arm, OFFLINE)),
        "adjusted complexity": own_complexity(rows, arm, "adjusted_complexity"),
        "complexity over rms": own_complexity(rows, arm, "over_rms"),
        "margin": own_complexity(rows, arm, "margin"),
        "test fidelity (%)": percent(final_values(rows, arm, "test_fidelity")),
        "NTK similarity": final_values(rows, arm, "ntk_similarity"),
        "seconds": final_values(rows, arm, "training_seconds"),
    }


def _findings(case: str, rows: Sequence[Row]) -> list[Finding]:
    points: dict[str, Any] = {"scale": 100, "unit": " points", "settings": (case,)}
    arms = arms_in(rows)
    found = [finding(f"{case}: offline above labels", _gain(rows, OFFLINE, LABELS), **points)]
    found += [
        finding(f"{case}: {arm.label} above offline", _gain(rows, arm, OFFLINE), **points)
        for arm in arms
        if arm not in (LABELS, OFFLINE)
    ]
    accuracy = {arm: final_values(rows, arm, "test_accuracy") for arm in arms}
    quantities: dict[str, tuple[int, Mapping[Supervision, Values]]] = {
        "the less complex what supervises": (
            -1, {arm: own_complexity(rows, arm, "adjusted_complexity") for arm in arms}
        ),
        "the less complex over rms what supervises": (
            -1, {arm: own_complexity(rows, arm, "over_rms") for arm in arms}
        ),
        "the larger the margin of what supervises": (
            1, {arm: own_complexity(rows, arm, "margin") for arm in arms}
        ),
        "the higher the fidelity to the teacher": (
            1, {arm: final_values(rows, arm, "test_fidelity") for arm in arms}
        ),
        "the higher the NTK similarity to the teacher": (
            1, {arm: final_values(rows, arm, "ntk_similarity") for arm in arms}
        ),
    }  # fmt: skip
    return found + [
        finding(
            f"{case}: over the methods: {words}, the more accurate the student",
            [sign * rho for rho in rank_correlations(values, accuracy)],
            unit=f", {'minus ' if sign < 0 else ''}Spearman's correlation",
            settings=(case,),
        )
        for words, (sign, values) in quantities.items()
    ]


METHODS_STUDY = Study(
    name="methods",
    question="The field's methods beside the paper's: what supervises, and how far does it get?",
    expected=(
        "Each method's paper has it above plain offline distillation, after hundreds of epochs and "
        "at one learning rate for all. Theory has a word on what is shown as targets alone: the "
        "less complex it is at equal margin, the more accurate the student. Of features, turned "
        "images, branches and a loss of its own, which change the student and not its targets, it "
        "says nothing."
    ),
    cases=cases,
    costs={
        "smoke": "a minute",
        "small": "92 min on two cores beside other work, and 15 of the teachers",
        "full": "a day of two cores, by estimate; not measured",
    },
    expectations=(
        Expectation("offline at τ = 4 above labels", ("offline above labels",), in_readme=False),
        Expectation("each method above offline at τ = 4", ("above offline",)),
        Expectation(
            "the less complex what supervises, the more accurate the student",
            ("less complex",),
        ),
    ),
    analyse=analyse,
)
