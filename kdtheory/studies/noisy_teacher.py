"""Which terms of the teacher-student bound notice that a teacher is bad?"""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from kdtheory.arms import LABELS, Supervision
from kdtheory.errors import InputError
from kdtheory.report.bound_bars import BOUND_TERMS, ERROR_COLOR, draw_stacked_terms
from kdtheory.report.drawing import draw_grid, height
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.table import Line, Table
from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig
from kdtheory.statistics.bounds import bound_supervisions, bound_values
from kdtheory.statistics.correlations import rank_correlations
from kdtheory.statistics.findings import Finding, finding
from kdtheory.statistics.seeds import differences, final_values, mean_complexity, mean_sd, percent
from kdtheory.studies.setting import BOUND_RIDGES, binary_setting
from kdtheory.studies.study import CaseRows, Expectation, Size, Study, Values

if TYPE_CHECKING:
    import matplotlib.figure

#: The run of the teacher that the others are compared with.
CLEAN = "clean"

#: Runs whose names begin so differ in the size of one corruption, and stand in rising order.
_GRADED = ("label-noise-", "weights-")


#: One value a seed, of a run's rows and a supervision.
_Measure: TypeAlias = Callable[[list[Row], Supervision], Values]


def cases(size: Size) -> dict[str, RunConfig]:
    """Return one run a teacher; students, data and seeds are the same in all."""
    noise = {"smoke": (0.4,), "small": (0.4,), "full": (0.1, 0.2, 0.4)}[size]
    scales = (1.0,) if size == "smoke" else (0.1, 0.3, 1.0)
    teachers: dict[str, dict[str, Any]] = {CLEAN: {}}
    for fraction in noise:
        teachers[f"label-noise-{fraction:g}"] = {
            "teacher_data": "symmetric_noise", "teacher_noise": fraction
        }  # fmt: skip
    if size == "full":
        teachers["random-labels"] = {"teacher_data": "random_labels"}
        # Small chooses learning rates on these examples.
        teachers["other-split"] = {"teacher_data": "validation"}
    for scale in scales:
        teachers[f"weights-{scale:g}"] = {"teacher_perturbation": scale}
    common: dict[str, Any] = {
        "arms": ("labels", "offline"), "temperatures": (1.0, 4.0), "bounds": True,
        "bound_ridges": BOUND_RIDGES,
    }  # fmt: skip
    if size == "full":
        # The paper's setting holds nothing back, and a teacher of other examples needs some: every
        # run does, so that all teachers have the same students.
        common["validation_size"] = 10_000
    return {name: binary_setting(size, **common, **changes) for name, changes in teachers.items()}


def analyse(case_rows: CaseRows) -> Results:
    """Set the bound's terms for each teacher beside what its students reach.

    Raises:
      InputError: the rows of the clean teacher hold no bounds of offline supervision.
    """
    supervisions = [
        supervision
        for supervision in bound_supervisions(case_rows[CLEAN])
        if supervision.name == "offline"
    ]
    if not supervisions:
        raise InputError(f"the rows of {CLEAN!r} hold no bounds of offline supervision")
    figure = CaptionedFigure(
        "terms",
        "Bars: the terms of the bound for students of each teacher, means over seeds. Marks: the "
        "student's test error, mean ± standard deviation. A bound of 1 or more (right of the "
        "dashed line) says nothing about the risk; its terms can still be compared.",
        _figure(case_rows, supervisions),
    )
    tables = [_table(case_rows, supervisions), _changes(case_rows, supervisions)]
    return Results(tables, [figure], _findings(case_rows, supervisions))


def complexities(rows: list[Row], supervision: Supervision, name: str = "over_rms") -> Values:
    """Return {seed: complexity} of a supervision on the student of the labels.

    That student is the same whatever the teacher, so that all teachers stand on one kernel at each
    point; the value is the mean over the points. Unsure teachers give small targets: `name` is
    adjusted complexity over the targets' root mean square, or another that `mean_complexity` knows.
    """
    return mean_complexity(rows, LABELS, supervision, name)


def _of_teacher(name: str) -> _Measure:
    return lambda rows, _: percent(final_values(rows, None, name))


def _of_student(name: str) -> _Measure:
    return lambda rows, supervision: percent(final_values(rows, supervision, name))


def _of_bound(name: str) -> _Measure:
    return lambda rows, supervision: bound_values(rows, supervision, name)


#: The columns of both tables; the accuracies of the teacher itself are in the first alone.
_TEACHER: dict[str, _Measure] = {
    "teacher's train accuracy (%)": _of_teacher("train_accuracy"),
    "teacher's test accuracy (%)": _of_teacher("test_accuracy"),
}
_MEASURES: dict[str, _Measure] = {
    "teacher error": _of_bound("teacher_error"),
    "margin loss": _of_bound("margin_loss"),
    "complexity term": _of_bound("complexity_term"),
    "bound": _of_bound("bound"),
    "γ": _of_bound("gamma"),
    "adjusted complexity": lambda rows, arm: complexities(rows, arm, "adjusted_complexity"),
    "adjusted / rms": complexities,
    "student's test accuracy (%)": _of_student("test_accuracy"),
    "test fidelity (%)": _of_student("test_fidelity"),
}


def _table(case_rows: CaseRows, supervisions: list[Supervision]) -> Table:
    measures = {**_TEACHER, **_MEASURES}
    lines: list[Line] = [
        {
            "teacher": case,
            "τ": supervision.temperature,
            **{name: measure(rows, supervision) for name, measure in measures.items()},
        }
        for case, rows in case_rows.items()
        for supervision in supervisions
    ]
    caption = (
        "Mean ± standard deviation over seeds; students of offline distillation from each teacher. "
        "The teacher's train accuracy, and its error in the bound, are on the student's examples "
        "with their own labels, whatever the teacher was trained on. Margin loss and complexity "
        "term are those of the bound at its best margin γ, with the student's kernel at "
        "initialisation. Adjusted complexity, and it over the targets' root mean square, which "
        "does not change where they only shrink, are of the teacher's targets on the student "
        "trained on labels, the same for all teachers, averaged over its measuring points. "
        "Fidelity is to this teacher."
    )
    return Table.of_lines("table", caption, lines)


def _changes(case_rows: CaseRows, supervisions: list[Supervision]) -> Table:
    clean = case_rows[CLEAN]
    lines: list[Line] = [
        {
            "teacher": case,
            "τ": supervision.temperature,
            **{
                name: differences(measure(rows, supervision), measure(clean, supervision))
                for name, measure in _MEASURES.items()
            },
        }
        for case, rows in case_rows.items()
        if case != CLEAN
        for supervision in supervisions
    ]
    caption = (
        "Which terms notice: every quantity less its value with the clean teacher, paired by seed, "
        "mean ± standard deviation over seeds (accuracy and fidelity in points). Theory does not "
        "say whether noise on a teacher's weights makes its predictions more or less complex, nor "
        "what another split does: those lines are observations."
    )
    return Table.of_lines("changes", caption, lines)


def _rising(names: list[str]) -> list[tuple[str, str]]:
    """Return pairs (better, worse) of teachers: clean before all, and each corruption's grades.

    >>> _rising(["clean", "weights-0.1", "weights-1"])
    [('clean', 'weights-0.1'), ('clean', 'weights-1'), ('weights-0.1', 'weights-1')]
    """
    pairs = [(CLEAN, name) for name in names if name != CLEAN]
    for family in _GRADED:
        pairs += itertools.pairwise([name for name in names if name.startswith(family)])
    return pairs


def _findings(case_rows: CaseRows, supervisions: list[Supervision]) -> list[Finding]:
    error = _MEASURES["teacher error"]
    # A teacher's decisions do not depend on the temperature: one finding for all of them.
    found = [
        finding(
            f"the bound's teacher error: {worse} above {better}",
            differences(*(error(case_rows[case], supervision) for case in (worse, better))),
        )
        for supervision in supervisions[:1]
        for better, worse in _rising(list(case_rows))
    ]
    for supervision in supervisions:
        found += [
            finding(
                f"{supervision.label}, {name}: {case} above {CLEAN}",
                differences(*(_MEASURES[name](case_rows[c], supervision) for c in (case, CLEAN))),
            )
            for case in case_rows
            if case.startswith(("label-noise-", "random-labels"))
            for name in ("complexity term", "adjusted / rms")
        ]
        bound, accuracy = (
            {case: _MEASURES[name](rows, supervision) for case, rows in case_rows.items()}
            for name in ("bound", "student's test accuracy (%)")
        )
        found.append(
            finding(
                f"{supervision.label}: a smaller bound goes with a more accurate student",
                [-rho for rho in rank_correlations(bound, accuracy)],
                unit=", minus Spearman's correlation over the teachers",
            )
        )
    return found


def _figure(case_rows: CaseRows, supervisions: list[Supervision]) -> "matplotlib.figure.Figure":
    from matplotlib.figure import Figure

    names = list(case_rows)
    positions = [float(-number) for number in range(len(names))]
    figure = Figure(figsize=(5.2 * len(supervisions), 1.6 + 0.4 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(supervisions), sharex=True, sharey=True, squeeze=False)[0]
    for axes, supervision in zip(panels, supervisions, strict=True):
        terms = [
            {
                term: mean_sd(bound_values(rows, supervision, term).values()).mean or 0.0
                for term in BOUND_TERMS
            }
            for rows in case_rows.values()
        ]
        draw_stacked_terms(axes, positions, terms, horizontal=True)
        errors = [
            mean_sd([1 - a for a in final_values(rows, supervision, "test_accuracy").values()])
            for rows in case_rows.values()
        ]
        axes.errorbar(
            list(map(height, errors)), positions, xerr=[error.sd or 0.0 for error in errors],
            fmt="D", markersize=5, color="white", markeredgecolor=ERROR_COLOR, capsize=3,
            ecolor=ERROR_COLOR, label="student's test error",
        )  # fmt: skip
        axes.axvline(1, color="black", linestyle="--", linewidth=1)
        axes.set(
            title=supervision.label, xlabel="bound and its terms (probability)", yticks=positions
        )
        axes.set_yticklabels(names)
        draw_grid(axes, "x")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize="small")
    return figure


NOISY_TEACHER = Study(
    name="noisy_teacher",
    question="Which terms of the teacher-student bound notice that a teacher is bad?",
    expected=(
        "The teacher's error rises with every corruption. A teacher trained on wrong labels that "
        "it fits has more complex predictions, so the complexity term rises too, most at tau = 1. "
        "About noise on the weights, or a teacher of other examples, theory says only that its "
        "error counts. If the bound is of use, it orders the teachers as their students' "
        "accuracies do."
    ),
    cases=cases,
    costs={
        "smoke": "seconds",
        "small": "20 min on one core",
        "full": "needs an accelerator; not measured",
    },
    varied={
        "teacher": "how far the teacher is above the student is what this study varies",
        "chance": "a teacher that is at chance is one of those that the bound should notice",
    },
    expectations=(Expectation("the bound notices a bad teacher", in_readme=False),),
    analyse=analyse,
)
