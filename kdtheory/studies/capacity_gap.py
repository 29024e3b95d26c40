"""What a teacher far above its student costs, and what mends it: an assistant, an earlier round."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from kdtheory.arms import LABELS
from kdtheory.palette import CYCLE
from kdtheory.report.drawing import draw_bars, draw_grid
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.table import Line, Table
from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig
from kdtheory.statistics.correlations import rank_correlations
from kdtheory.statistics.findings import Finding, finding
from kdtheory.statistics.seeds import differences, mean_complexity, mean_sd
from kdtheory.studies.network_pairs import (
    SELF,
    Pair,
    gain,
    gap,
    labels_accuracy,
    labels_complexity,
    offline_accuracy,
    offline_complexity,
    parameters,
    self_gain,
    student_families,
    teacher_accuracy,
)
from kdtheory.studies.setting import learnable_setting, setting
from kdtheory.studies.study import CaseRows, Expectation, Size, Study, Values

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure


#: What is compared of supervisions that differ in their scale.
_UNIT = " adjusted complexity over rms"


class _Networks(NamedTuple):
    teacher: str
    students: tuple[tuple[str, ...], ...]
    """Families whose members grow."""
    smaller_teachers: tuple[str, ...]
    student: str
    """Under them."""
    assistant: str


def _networks(size: Size) -> _Networks:
    if size == "smoke":
        return _Networks("mlp16x1", (("mlp8x1",),), ("mlp12x1",), "mlp8x1", "mlp12x1")
    widths: tuple[str, ...] = ("lenet5x1", "lenet5x2", "lenet5x4")
    if size == "small":
        depths: tuple[str, ...] = ("mlp128x1", "mlp128x2", "mlp128x4")
        return _Networks(
            "resnet20", (widths, depths), ("lenet5x4", "resnet8"), widths[0], "resnet8"
        )
    widths = (*widths, "lenet5x8")
    depths = ("resnet8", "resnet14", "resnet20", "resnet32")
    return _Networks("resnet56", (widths, depths), (*depths, "resnet110"), "lenet5x1", "resnet20")


def cases(size: Size) -> dict[str, RunConfig]:
    """Return a run a pair, named TEACHER-STUDENT, and one with an assistant between."""
    networks = _networks(size)
    pairs = [
        *(Pair(networks.teacher, None, one) for family in networks.students for one in family),
        *(Pair(teacher, None, networks.student) for teacher in networks.smaller_teachers),
        Pair(networks.teacher, networks.assistant, networks.student),
    ]
    found: dict[str, RunConfig] = {}
    for pair in pairs:
        # Self-distillation does not see the teacher: once a student is enough.
        met = any(Pair.of(case).student == pair.student for case in found)
        found["-".join(filter(None, pair))] = _pairs_setting(
            size, arms=("labels", "offline") if met else ("labels", "offline", "self"),
            # The assistant is trained at the last temperature.
            temperatures=(4.0,), **pair._asdict(),
        )  # fmt: skip
    return found


def _pairs_setting(size: Size, **changes: Any) -> RunConfig:
    """Return the setting of a pair: three thousand images, where teachers are far above."""
    if size != "small":
        return setting(size, **changes)
    # Of the four rates those that the arms of `accuracy` chose with as many images.
    return learnable_setting(
        size, train_size=3_000, epochs=36, tune=(0.03, 0.1), points=2, **changes
    )


def analyse(case_rows: CaseRows) -> Results:
    """Set each pair's gap beside the complexity of its supervision and what distillation gains."""
    lines = [_line(Pair.of(case), rows) for case, rows in case_rows.items()]
    caption = (
        "Mean ± standard deviation over seeds. Parameters: for images of the data set's own size "
        "and one output. Gap: the teacher's test accuracy less that of the student on labels; "
        "gains: of the student of offline distillation, and of self-distillation, over the student "
        "on labels, in points, paired by seed. Gap and gain both hold the student on labels, whose "
        "noise alone correlates them positively: the findings pair a seed's gain with the gap of "
        "the next. Adjusted complexity, and it over the root mean square of the targets, which "
        "their scale does not move: on the student trained on labels, averaged over its measuring "
        "points."
    )
    figure = CaptionedFigure(
        "gap",
        "A mark a pair, mean ± one standard deviation over seeds. Left: complexity over rms of "
        "the supervision against the student's parameters, under one teacher, a line a family of "
        "students. Middle: complexity of the teacher's supervision against the gap. Right: gain of "
        "offline distillation against the gap.",
        _figure(case_rows),
    )
    table = Table.of_lines("table", caption, lines)
    return Results([table], [figure], _findings(case_rows))


def _line(pair: Pair, rows: list[Row]) -> Line:
    taught = "" if pair.assistant is None else f", taught by {pair.teacher}"
    teacher, dataset = pair.assistant or pair.teacher, rows[0]["dataset"]
    return {
        "teacher": f"{teacher}{taught}",
        "student": pair.student,
        "teacher's parameters": parameters(teacher, dataset),
        "student's parameters": parameters(pair.student, dataset),
        "teacher's accuracy (%)": teacher_accuracy(rows),
        "accuracy on labels (%)": labels_accuracy(rows),
        "gap": gap(rows),
        "adjusted complexity, labels": labels_complexity(rows, "adjusted_complexity"),
        "adjusted complexity, offline": offline_complexity(rows, "adjusted_complexity"),
        "adjusted / rms, labels": labels_complexity(rows),
        "adjusted / rms, offline": offline_complexity(rows),
        "accuracy, offline (%)": offline_accuracy(rows),
        "gain of offline": gain(rows),
        "gain of self": self_gain(rows),
    }


def _findings(case_rows: CaseRows) -> list[Finding]:
    found: list[Finding] = []
    for members in student_families(case_rows).values():
        smallest, largest = (case_rows[case] for case in (members[0], members[-1]))
        names = [Pair.of(case).student for case in (members[0], members[-1])]
        for supervision, measure in (
            ("labels", labels_complexity), ("the offline teacher", offline_complexity),
        ):  # fmt: skip
            found.append(
                finding(
                    f"{supervision}: more complex for {names[0]} than for {names[1]}",
                    differences(measure(smallest), measure(largest)),
                    unit=_UNIT,
                )
            )
    direct = {case: rows for case, rows in case_rows.items() if Pair.of(case).assistant is None}
    found += _about_gaps("all pairs", direct)
    first = Pair.of(next(iter(direct))).student
    of_first = {case: rows for case, rows in direct.items() if Pair.of(case).student == first}
    # On one kernel, which all pairs do not have.
    found += _about_gaps(f"the teachers of {first}", of_first)
    return found + _about_remedies(case_rows)


def of_next_seed(values: Values) -> Values:
    """Return {seed: value of the next one}, the first after the last; nothing of one seed.

    Gap and gain of one seed share its student on labels, whose noise alone makes them rise
    together; those of two seeds share no noise.

    >>> of_next_seed({0: 1.0, 1: 2.0, 2: 3.0}), of_next_seed({0: 1.0})
    ({0: 2.0, 1: 3.0, 2: 1.0}, {})
    """
    seeds = sorted(values)
    if len(seeds) < 2:
        return {}
    return dict(zip(seeds, (values[seed] for seed in [*seeds[1:], seeds[0]]), strict=True))


def _about_gaps(over: str, case_rows: CaseRows) -> list[Finding]:
    gaps, gains, complexities = (
        {case: measure(rows) for case, rows in case_rows.items()}
        for measure in (lambda rows: of_next_seed(gap(rows)), gain, offline_complexity)
    )
    return [
        finding(
            f"over {over}: {hypothesis}",
            [sign * rho for rho in rank_correlations(first, second)],
            unit=f", {'minus ' if sign < 0 else ''}Spearman's correlation",
        )
        for hypothesis, sign, first, second in (
            ("the larger the gap (of another seed), the more complex the teacher's supervision",
             1, gaps, complexities),
            ("the larger the gap (of another seed), the smaller the gain of distillation",
             -1, gaps, gains),
            ("the more complex the teacher's supervision, the smaller the gain of distillation",
             -1, complexities, gains),
        )
    ]  # fmt: skip


def _about_remedies(case_rows: CaseRows) -> list[Finding]:
    found: list[Finding] = []
    for case, rows in case_rows.items():
        pair = Pair.of(case)
        if pair.assistant is None:
            self_complexity, labels = (
                mean_complexity(rows, SELF, supervision, "over_rms")
                for supervision in (SELF, LABELS)
            )
            # A finding a student is enough, see `cases`.
            if case == next(c for c in case_rows if Pair.of(c).student == pair.student):
                found += [
                    finding(
                        f"{pair.student}: its earlier round is less complex than labels",
                        differences(labels, self_complexity),
                        unit=_UNIT,
                    ),
                    finding(
                        f"{pair.student}: self-distillation above labels",
                        self_gain(rows),
                        unit=" points",
                    ),
                ]
            continue
        through = f"{pair.assistant} between {pair.teacher} and {pair.student}"
        without = case_rows[f"{pair.teacher}-{pair.student}"]
        found += [
            finding(
                f"{through}: its supervision is less complex than the teacher's",
                differences(offline_complexity(without), offline_complexity(rows)),
                unit=_UNIT,
            ),
            finding(
                f"{through}: its student is more accurate than the teacher's",
                differences(offline_accuracy(rows), offline_accuracy(without)),
                unit=" points",
            ),
        ]
    return found


#: A colour and a marker a family.
_LOOKS = tuple(zip(CYCLE, "os^D", strict=False))


def _figure(case_rows: CaseRows) -> "matplotlib.figure.Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(14.0, 4.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    kinds = student_families(case_rows).items()
    for (kind, members), (color, marker) in zip(kinds, _LOOKS, strict=False):
        x = [_thousands(case, case_rows[case]) for case in members]
        for measure, label, line in (
            (labels_complexity, "labels", "--"), (offline_complexity, "offline teacher", "-"),
        ):  # fmt: skip
            y = [mean_sd(measure(case_rows[case]).values()) for case in members]
            draw_bars(
                left, x, y, color=color, marker=marker, linestyle=line,
                fillstyle="full" if line == "-" else "none", label=f"{label}, {kind} students",
            )  # fmt: skip
    if left.has_data():
        left.legend(fontsize="small")
    left.set(
        xscale="log",
        xlabel="parameters of the student (thousands)",
        ylabel="complexity over rms of the supervision",
    )
    left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter("{x:g}")
    left.minorticks_off()
    _against_gap(middle, case_rows, offline_complexity)
    _against_gap(right, case_rows, gain)
    middle.set_ylabel("complexity over rms of the teacher's supervision")
    right.set_ylabel("gain of offline distillation over labels (points)")
    right.axhline(0, color="black", linewidth=0.8)
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize="small")
    for axes in (left, middle, right):
        draw_grid(axes)
    return figure


def _thousands(case: str, rows: list[Row]) -> float:
    return parameters(Pair.of(case).student, rows[0]["dataset"]) / 1000


def _against_gap(
    axes: "matplotlib.axes.Axes",
    case_rows: CaseRows,
    measure: Callable[[list[Row]], Values],
) -> None:
    markers = "os^Dv<>PX*hpd"
    for number, (case, rows) in enumerate(case_rows.items()):
        pair = Pair.of(case)
        color = _LOOKS[(number // 3) % len(_LOOKS)][0]
        x, y = (mean_sd(of(rows).values()) for of in (gap, measure))
        if x.mean is None or y.mean is None:
            continue
        axes.errorbar(
            [x.mean], [y.mean], xerr=[x.sd or 0.0], yerr=[y.sd or 0.0], color=color, capsize=2,
            marker=markers[number % len(markers)], linestyle="none", elinewidth=0.8,
            fillstyle="full" if pair.assistant is None else "none",
            label=case.replace("-", " → "),
        )  # fmt: skip
    axes.set_xlabel("gap: teacher less student on labels (points)")


CAPACITY_GAP = Study(
    name="capacity_gap",
    question="What does a teacher far above its student cost, and what mends it?",
    expected=(
        "The same targets are less complex for a larger student, whose kernel is richer. A teacher "
        "far above its student has learnt what this student's kernel does not hold: the larger the "
        "gap, the more complex its supervision for that student, and the smaller the gain of "
        "distillation. An assistant of a size between, or the student's own earlier round, gives "
        "less complex supervision, and so a better student."
    ),
    cases=cases,
    costs={
        "smoke": "seconds",
        "small": "90 min of two cores, beside other work",
        "full": "needs an accelerator; not measured",
    },
    varied={
        "teacher": "how far the teacher is above the student is what this study varies",
        "fit": "how much a student can fit is what this study varies",
    },
    expectations=(
        Expectation(
            "a larger gap: more complex supervision, less gain",
            ("the larger the gap",),
            in_readme=False,
        ),
    ),
    analyse=analyse,
)
