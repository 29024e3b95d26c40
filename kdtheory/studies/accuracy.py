"""The main table: what each kind of supervision costs a student, and what it gains."""

from typing import Any

from kdtheory.arms import LABELS, Supervision
from kdtheory.report.figures import accuracy_figure
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.table import Line, Table
from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig
from kdtheory.statistics.findings import Finding, finding
from kdtheory.statistics.groups import arms_in
from kdtheory.statistics.seeds import differences, final_values, own_complexity, percent
from kdtheory.studies.setting import learnable_setting, setting
from kdtheory.studies.study import CaseRows, Expectation, Size, Study


def cases(size: Size) -> dict[str, RunConfig]:
    """Return the pairs and data sets of a size."""
    common: dict[str, Any] = {"similarity_size": {"smoke": 16, "small": 256, "full": 4096}[size]}
    if size == "smoke":
        return {"binary": setting(size, **common)}
    if size == "small":
        arms: dict[str, Any] = {
            "arms": ("labels", "offline", "online", "self"), "temperatures": (1.0, 4.0),
        }  # fmt: skip
        # Of the regime's sizes those where, after 54 epochs, a student on labels fits its images.
        return {
            f"coarse-label-{examples}": learnable_setting(
                size, train_size=examples, **common, **arms
            )
            for examples in (1_000, 3_000)
        }
    many = {"task": "full", "kernel": "trace"}
    pairs = (("resnet56", "resnet20"), ("resnet56", "lenet5x8"))
    found: dict[str, RunConfig] = {}
    for teacher, student in pairs:
        networks = {"teacher": teacher, "student": student, **common}
        pair = f"{teacher}-{student}"
        found[f"binary-cifar100-{pair}"] = setting(size, **networks)
        for dataset in ("cifar10", "cifar100", "tiny_imagenet"):
            found[f"{dataset}-{pair}"] = setting(size, dataset=dataset, **networks, **many)
    return found


def analyse(case_rows: CaseRows) -> Results:
    """Set accuracy beside the complexity of the supervision that each arm gives."""
    caption = (
        "Last-epoch test accuracy, mean ± standard deviation over seeds; gain: paired difference "
        "from the student on labels, in points. Complexity, its adjusted form and the margin are "
        "of the supervision that the arm was trained on, averaged over the measuring points."
    )
    lines: list[Line] = []
    for case, rows in case_rows.items():
        teacher = percent(final_values(rows, None, "test_accuracy"))
        name = f"teacher ({rows[0]['teacher']})"
        lines.append({"run": case, "arm": name, "test accuracy (%)": teacher})
        lines += [_line(case, rows, arm) for arm in arms_in(rows)]
    figure = CaptionedFigure(
        "accuracy",
        "Left: test accuracy after the last epoch of each arm, the teacher's dashed. Right: the "
        "same against the adjusted complexity of the arm's supervision.",
        accuracy_figure([row for rows in case_rows.values() for row in rows]),
    )
    found = [each for case, rows in case_rows.items() for each in _findings(case, rows)]
    return Results([Table.of_lines("table", caption, lines)], [figure], found)


def _line(case: str, rows: list[Row], arm: Supervision) -> Line:
    accuracy, labels = (final_values(rows, each, "test_accuracy") for each in (arm, LABELS))
    return {
        "run": case,
        "arm": arm.label,
        "test accuracy (%)": percent(accuracy),
        "gain over labels": None if arm == LABELS else percent(differences(accuracy, labels)),
        "adjusted complexity": own_complexity(rows, arm, "adjusted_complexity"),
        "complexity": own_complexity(rows, arm, "complexity"),
        "margin": own_complexity(rows, arm, "margin"),
        "test fidelity (%)": percent(final_values(rows, arm, "test_fidelity")),
        "train NTK similarity": final_values(rows, arm, "ntk_similarity"),
    }


def _findings(case: str, rows: list[Row]) -> list[Finding]:
    accuracy = {arm: final_values(rows, arm, "test_accuracy") for arm in arms_in(rows)}
    points: dict[str, Any] = {"scale": 100, "unit": " points", "settings": (case,)}
    found = []
    for arm, values in accuracy.items():
        if arm != LABELS and LABELS in accuracy:
            gains = differences(values, accuracy[LABELS])
            found.append(finding(f"{case}: {arm.label} above labels", gains, **points))
        offline = Supervision("offline", arm.temperature)
        if arm.name == "online" and offline in accuracy:
            gains = differences(values, accuracy[offline])
            found.append(finding(f"{case}: {arm.label} above offline", gains, **points))
    return found


ACCURACY = Study(
    name="accuracy",
    question="Which kind of supervision gives the most accurate student, and how complex is it?",
    expected=(
        "Distillation beats labels; at tau = 4 by more than at tau = 1; online distillation beats "
        "offline where the student is weak beside its teacher. The supervision of the better arms "
        "is the less complex one."
    ),
    cases=cases,
    costs={
        "smoke": "seconds",
        "small": "20 min on two cores",
        "full": "needs an accelerator; not measured",
    },
    expectations=(
        Expectation(
            "distillation above labels, most at τ = 4; online at least as good as offline",
            in_readme=False,
        ),
    ),
    analyse=analyse,
)
