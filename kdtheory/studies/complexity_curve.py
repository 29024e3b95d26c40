"""The paper's figure: the complexity of each kind of supervision along the student's training."""

import math
from collections.abc import Iterable
from typing import Any

from kdtheory.arms import LABELS, RANDOM_LABELS, Supervision
from kdtheory.report.figures import complexity_figure
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.table import Line, Table
from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig
from kdtheory.statistics.findings import Finding, finding
from kdtheory.statistics.groups import arms_in
from kdtheory.statistics.hypotheses import complexity_orders
from kdtheory.statistics.hypotheses import findings as general_findings
from kdtheory.statistics.seeds import (
    complexity_points,
    differences_along,
    mean_complexity,
    measured_supervisions,
    reference_student,
)
from kdtheory.studies.setting import learnable_setting
from kdtheory.studies.study import CaseRows, Expectation, Size, Study

#: The runs' names: examples that the students were trained on, and examples that no network saw.
TRAIN, TEST = "train", "test"

#: Online meets offline where their difference is below this part of its mean along training.
MEETING = 0.1


def cases(size: Size) -> dict[str, RunConfig]:
    """Return a run measured on training examples, and one on unseen test examples."""
    of_size: dict[Size, dict[str, Any]] = {
        "small": {"train_size": 3_000},
        "full": {"student": "lenet5x8", "ntk_size": 4096},
    }
    train = learnable_setting(
        size,
        **of_size.get(size, {}),
        arms=("labels", "offline", "online"),
        temperatures=(1.0, 4.0),
        points={"smoke": 3, "small": 11, "full": 11}[size],
    )
    # Every supervision is measured on the student of the labels, so that one arm is enough there.
    arms = train.distillation.arms if size == "full" else ("labels",)
    return {TRAIN: train, TEST: train.replace(ntk_split="test", arms=arms)}


def analyse(case_rows: CaseRows) -> Results:
    """Draw the curves, and hold their order and their course against the theory."""
    figures = [
        CaptionedFigure(
            f"complexity_{case}",
            f"Adjusted supervision complexity on {_examples(case)} along the student's training, "
            "means over seeds, bands one standard deviation to each side. Left: every supervision "
            "on one student, which is the comparison that the theory is about. Right: each arm's "
            "supervision on the student that it trains.",
            complexity_figure(rows),
        )
        for case, rows in case_rows.items()
    ]
    found: list[Finding] = []
    for case, rows in case_rows.items():
        found += _order(case, rows)
        found += _order_over_rms(case, rows)
        found += [each._replace(settings=(case,)) for each in _course(case, rows)]
    return Results([_table(case_rows)], figures, found + _unseen(case_rows))


def _examples(case: str) -> str:
    return "unseen test examples" if case == TEST else "training examples"


def _table(case_rows: CaseRows) -> Table:
    lines: list[Line] = []
    for case, rows in case_rows.items():
        arms = arms_in(rows)
        reference = reference_student(rows, arms)
        if reference is None:
            continue
        pairs = [(reference, supervision) for supervision in measured_supervisions(rows, reference)]
        pairs += [(arm, arm) for arm in arms if arm != reference]
        lines += [_line(case, rows, student, supervision) for student, supervision in pairs]
    caption = (
        "Adjusted supervision complexity A = sqrt(Y' K^-1 Y Tr K) / n at three points of the "
        "student's training and its mean over all points; then the complexity Y' K^-1 Y and the "
        "margin of the targets, and A over the targets' root mean square and over their margin, "
        "which do not change with their scale: means over the points. Mean ± standard deviation "
        "over seeds. Complexities are comparable on the same student only: first all "
        "supervisions on one, then each arm's own supervision on the student that it trains. K is "
        "the kernel of that student on training examples, or on test examples that no network "
        "has seen."
    )
    return Table.of_lines("table", caption, lines)


def _line(case: str, rows: list[Row], student: Supervision, supervision: Supervision) -> Line:
    adjusted = complexity_points(rows, student, supervision, "adjusted_complexity")
    steps = sorted({step for along in adjusted.values() for step in along}) or [0]
    at = [
        {seed: along[step] for seed, along in adjusted.items() if step in along}
        for step in (steps[0], steps[len(steps) // 2], steps[-1])
    ]
    mean, complexity, margin, over_rms, over_margin = (
        mean_complexity(rows, student, supervision, name)
        for name in ("adjusted_complexity", "complexity", "margin", "over_rms", "over_margin")
    )
    return {
        "examples": case,
        "student trained on": student.label,
        "supervision": supervision.label,
        "at initialisation": at[0],
        "half-way": at[1],
        "at the end": at[2],
        "mean over points": mean,
        "complexity": complexity,
        "margin": margin,
        "adjusted / rms": over_rms,
        "adjusted / margin": over_margin,
    }


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)


def _order(case: str, rows: list[Row]) -> list[Finding]:
    """The order of the supervisions, and the temperatures', which every report holds up too."""
    return [
        found._replace(
            hypothesis=f"{case}: adjusted: {found.hypothesis}", group=None, settings=(case,)
        )
        for found in general_findings(rows)
        if found.topic in ("complexity order", "temperature")
    ]


def _order_over_rms(case: str, rows: list[Row]) -> list[Finding]:
    """The same orders where no target is simple by being small."""
    reference = reference_student(rows, arms_in(rows))
    if reference is None:
        return []
    return [
        finding(
            f"{case}: over rms: {order.hypothesis}",
            [_mean(along.values()) for along in differences_along(
                rows, reference, order.higher, order.lower, "over_rms").values()],
            unit=" in adjusted complexity over the targets' root mean square",
            settings=(case,),
        )
        for order in complexity_orders(measured_supervisions(rows, reference))
    ]  # fmt: skip


def _course(case: str, rows: list[Row]) -> list[Finding]:
    """What happens along the training of the reference student."""
    reference = reference_student(rows, arms_in(rows))
    if reference is None:
        return []
    found = []
    for online in measured_supervisions(rows, reference):
        if online.name != "online":
            continue
        offline = Supervision("offline", online.temperature)
        gaps = [
            [abs(gap) for gap in along.values()]
            for along in differences_along(rows, reference, offline, online).values()
        ]
        found += [
            finding(
                f"{case}: {online.label} meets offline at the end (their difference there is below "
                f"{MEETING:g} of its mean along training)",
                [MEETING - along[-1] / _mean(along) for along in gaps if any(along)],
                unit=" of that mean below the allowed part",
                by_construction=True,
            ),
            finding(
                f"{case}: {online.label} nears offline (the mean difference is smaller in the "
                "second half of training than in the first)",
                [
                    _mean(along[: len(along) // 2]) - _mean(along[-(len(along) // 2) :])
                    for along in gaps
                    if len(along) > 1
                ],
                unit=" in adjusted complexity",
            ),
        ]
    labels = complexity_points(rows, reference, LABELS, "adjusted_complexity")
    found.append(
        finding(
            f"{case}: the kernel aligns with the labels (their complexity on the student trained "
            f"on {reference.label} is lower at the end than at initialisation)",
            [values[min(values)] - values[max(values)] for values in labels.values()],
            unit=" in adjusted complexity",
        )
    )
    random = complexity_points(rows, reference, RANDOM_LABELS, "adjusted_complexity")
    found.append(
        finding(
            f"{case}: root mean square over the points of the random labels' adjusted complexity "
            "above 1",
            [math.sqrt(_mean(v**2 for v in values.values())) - 1 for values in random.values()],
            unit=" above 1",
            by_construction=True,
        )
    )
    return found


def _unseen(case_rows: CaseRows) -> list[Finding]:
    """The labels at the end, on unseen examples against those that the student was trained on."""
    if not {TRAIN, TEST} <= case_rows.keys():
        return []
    train, test = (
        complexity_points(case_rows[case], LABELS, LABELS, "adjusted_complexity")
        for case in (TRAIN, TEST)
    )
    return [
        finding(
            "at the end the labels are more complex on unseen examples than on training examples",
            [
                test[seed][max(test[seed])] - train[seed][max(train[seed])]
                for seed in sorted(train.keys() & test.keys())
            ],
            unit=" in adjusted complexity",
        )
    ]


COMPLEXITY_CURVE = Study(
    name="complexity_curve",
    question="How complex is each kind of supervision for a student, along the student's training?",
    expected=(
        "On the same kernel random labels are more complex than labels, labels more than an "
        "offline teacher's predictions, and those at least as complex as the online teacher's, "
        "which start simple and meet them at the end. A higher temperature is less complex. "
        "Random labels have a root mean square of at least 1, and while the student learns, its "
        "kernel aligns with the labels, so that their complexity falls, on examples that it was "
        "trained on more than on others."
    ),
    cases=cases,
    costs={
        "smoke": "seconds",
        "small": "20 min on two cores",
        "full": "needs an accelerator; not measured",
    },
    expectations=(
        Expectation(
            "random labels, labels, offline, online in falling order of adjusted complexity",
            ("adjusted:",),
            in_readme=False,
        ),
        Expectation(
            "random labels, labels, offline, online in falling order of complexity over rms",
            ("over rms:",),
        ),
    ),
    analyse=analyse,
)
