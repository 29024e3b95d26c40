"""The teacher-student bound on images as n grows: where does it say anything?"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kdtheory.arms import LABELS, Supervision
from kdtheory.palette import GREY, LIGHT_GREY
from kdtheory.report.bound_bars import BOUND_COLOR, BOUND_TERMS, ERROR_COLOR, draw_stacked_terms
from kdtheory.report.drawing import draw_bars, draw_grid
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.styles import line_style
from kdtheory.report.table import Line, Table
from kdtheory.runs.config import RunConfig
from kdtheory.statistics.bounds import bound_values, bounds_of
from kdtheory.statistics.findings import Finding, finding
from kdtheory.statistics.seeds import differences, mean_sd
from kdtheory.studies.bound_series import (
    RULES,
    Series,
    certified_by_holding_out,
    exponents,
    networks_of,
    norm_terms,
    series_of,
    shown_supervisions,
)
from kdtheory.studies.setting import BOUND_RIDGES, binary_setting
from kdtheory.studies.study import CaseRows, Expectation, Size, Study, Values

if TYPE_CHECKING:
    import matplotlib.figure

_TAUGHT = Supervision("offline", 4.0)

#: Examples n of the kernel; with the paper's sizes, as many of CIFAR-100's 10,000 test images as
#: there are powers of two.
_SIZES: dict[Size, tuple[int, ...]] = {
    "smoke": (8, 32),
    "small": (125, 250, 500, 1000, 2000),
    "full": (1024, 2048, 4096, 8192),
}

#: A ridge that grows with n, in the unit of the kernel's mean diagonal entry: n times this.
_RIDGE_PER_EXAMPLE = 0.03


def cases(size: Size) -> dict[str, RunConfig]:
    """Return a run for each n and rule of the ridge, which differ in nothing else that matters.

    The kernel's examples are test images, which no network was trained on, so that the bounds are
    certificates. Only the first run trains students as long as they need: the bounds depend on the
    untrained student and the teacher alone.
    """
    task = binary_setting(
        size, points=2, bounds=True, ntk_split="test", temperatures=(4.0,), arms=("labels",),
    )  # fmt: skip
    found: dict[str, RunConfig] = {}
    for rule in RULES:
        for n in _SIZES[size]:
            ridges = BOUND_RIDGES if rule == "free" else (_RIDGE_PER_EXAMPLE * n,)
            run = task.replace(ntk_size=n, bound_ridges=ridges)
            if found:
                run = run.replace(
                    epochs=1,
                    tune=(),
                    teacher_epochs=task.teaching.teacher_epochs or task.training.epochs,
                )
            else:
                run = run.replace(arms=("labels", "offline"))
            found[f"{task.data.dataset}-{task.data.task}-n{n}-{rule}"] = run
    return found


def analyse(case_rows: CaseRows) -> Results:
    """Follow the bound and its terms along n, for labels and for the teacher's predictions.

    Raises:
      InputError: a run without bounds.
    """
    tasks = series_of(case_rows)
    figures = [
        CaptionedFigure(
            "terms",
            "Bars: the terms of the bound, means over seeds. Line with diamonds: test error of the "
            "network trained on this supervision, the same for every "
            "n; squares: what n held-out examples would certify for it. Dashed: 1, from which on a "
            "bound says nothing; dotted: 0.5, the error of a guess.",
            _terms_figure(tasks),
        ),
        CaptionedFigure(
            "rates",
            "Norm term sqrt(‖f‖² Tr K) / n of the fit to each supervision, mean and standard "
            "deviation over seeds. Grey: n to the power -1/2, as it falls where the norm does not "
            "grow with n.",
            _rates_figure(tasks),
        ),
    ]
    findings = [found for task in tasks for found in _findings(task)]
    tables = [_table(tasks), _thresholds_table(tasks), _rates_table(tasks)]
    return Results(tables, figures, findings)


_BOUND_COLUMNS = {
    **{term.label: name for name, term in BOUND_TERMS.items()},
    "bound": "bound",
    "γ": "gamma",
    "‖f‖²": "squared_norm",
}


def _table(tasks: Sequence[Series]) -> Table:
    lines = [
        _line(task, supervision, n)
        for task in tasks
        for supervision in shown_supervisions(task)
        for n in task.runs
    ]
    caption = (
        "Mean ± standard deviation over seeds. The bound, with probability 0.95, is on the error "
        "of the linearised student: the untrained network plus the kernel fit, with the kernel at "
        "initialisation, of what the supervision of n examples adds; ‖f‖ is that fit's norm. It is "
        "the sum of the four columns before it, at its best margin γ. From 1 "
        "on it says nothing, above 0.5 less than a guess between two equal classes. For comparison "
        "and no bound on the same function: the test error of the network that was trained on this "
        "supervision, and what n held-out examples certify for it "
        "(Clopper and Pearson, with probability 0.95). The n examples are test images, which no "
        "network was trained on: a certificate. The ridge of the fit is the best for the bound of "
        "seven from 0.001 to 1,000 times the mean diagonal entry (free), or 0.03 n times it."
    )
    return Table.of_lines("table", caption, lines)


def _line(task: Series, supervision: Supervision, n: int) -> Line:
    rows, errors = task.runs[n], task.test_errors(supervision)
    return {
        "task": task.name,
        "n": n,
        "supervision": supervision.label,
        **{
            header: bound_values(rows, supervision, name) for header, name in _BOUND_COLUMNS.items()
        },
        "it is a": ", ".join(sorted({row["validity"] for row in bounds_of(rows, supervision)})),
        "network's test error": errors,
        "n held out certify": _held_out(errors, n),
    }


def _held_out(errors: Values, n: int) -> Values:
    return {seed: certified_by_holding_out(error, n) for seed, error in errors.items()}


def _first_below(threshold: float, bounds: dict[int, Values]) -> str:
    """Return the smallest n at which every seed's bound is below a threshold, in words."""
    below = [n for n, values in bounds.items() if all(b < threshold for b in values.values())]
    return f"{min(below):,}" if below else "none"


def _thresholds_table(tasks: Sequence[Series]) -> Table:
    lines: list[Line] = []
    for task in tasks:
        for supervision in shown_supervisions(task):
            bounds = task.values(supervision, "bound")
            lines.append({
                "task": task.name,
                "supervision": supervision.label,
                "bound at the largest n": bounds[max(bounds)],
                "below 1 from n": _first_below(1.0, bounds),
                "below 0.5 from n": _first_below(0.5, bounds),
            })  # fmt: skip
    caption = (
        "From which of the measured n on the bound says something: it is below 1, or below 0.5, "
        "the error of a guess between two equal classes, for every seed. Theory predicts no n."
    )
    return Table.of_lines("thresholds", caption, lines)


def _rates_table(tasks: Sequence[Series]) -> Table:
    lines: list[Line] = [
        {
            "task": task.name,
            "supervision": supervision.label,
            "bound": mean_sd(exponents(task.values(supervision, "bound"))),
            "complexity term": mean_sd(exponents(task.values(supervision, "complexity_term"))),
            "sqrt(‖f‖² Tr K) / n": mean_sd(exponents(norm_terms(task, supervision))),
            "‖f‖²": mean_sd(exponents(task.values(supervision, "squared_norm"))),
        }
        for task in tasks
        for supervision in shown_supervisions(task)
    ]
    caption = (
        "Exponents a of n^a, fitted to the logarithms over all n, mean ± standard deviation over "
        "seeds. Theory: where the norm of what is learnt does not grow with n (exponent 0 in the "
        "last column), the norm term falls with -0.5. The bound's margin γ is chosen anew at each "
        "n, so its complexity term need not fall at the same rate."
    )
    return Table.of_lines("rates", caption, lines)


def _findings(task: Series) -> list[Finding]:
    first, last = min(task.runs), max(task.runs)
    shown = [s for s in shown_supervisions(task) if s.name != "random_labels"]
    found: list[Finding] = []
    for supervision in shown:
        bounds = task.values(supervision, "bound")
        about = f"{task.name}, {supervision.label}"
        found += [
            finding(
                f"{about}: the bound is lower at n = {last} than at n = {first}",
                differences(bounds[first], bounds[last]),
                settings=(task.setting,),
            ),
            finding(
                f"{about}: the norm term falls no more slowly than n^(-1/2)",
                [-a - 0.5 for a in exponents(norm_terms(task, supervision))],
                unit=" in the exponent",
                settings=(task.setting,),
            ),
            finding(
                f"{about}: at n = {last} the bound is below 0.5, a guess's error",
                {seed: 0.5 - value for seed, value in bounds[last].items()},
                unit=" below it",
                settings=(task.setting,),
            ),
        ]
    if LABELS in shown and _TAUGHT in shown:
        labels, taught = (task.values(each, "bound")[last] for each in (LABELS, _TAUGHT))
        found.append(
            finding(
                f"{task.name}, n = {last}: the bound of {_TAUGHT.label} is below that of labels",
                differences(labels, taught),
                settings=(task.setting,),
            )
        )
    return found


def _terms_figure(tasks: Sequence[Series]) -> "matplotlib.figure.Figure":
    from matplotlib.figure import Figure

    shown = {
        task.name: [s for s in shown_supervisions(task) if s.name != "random_labels"]
        for task in tasks
    }
    width = max(map(len, shown.values()))
    figure = Figure(figsize=(3.9 * width, 3.3 * len(tasks) + 0.6), layout="constrained")
    # One height a task, so that supervisions can be compared.
    grid = figure.subplots(len(tasks), width, sharey="row", squeeze=False)
    for line, task in zip(grid, tasks, strict=True):
        for axes in line[len(shown[task.name]) :]:
            axes.set_visible(False)
        for axes, supervision in zip(line, shown[task.name], strict=False):
            _draw_terms(axes, task, supervision)
        line[0].set_ylabel("bound and its terms\n(probability)")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    return figure


def _draw_terms(axes: Any, task: Series, supervision: Supervision) -> None:
    positions = [float(i) for i in range(len(task.runs))]
    terms = [
        {
            name: mean_sd(bound_values(rows, supervision, name).values()).mean or 0.0
            for name in BOUND_TERMS
        }
        for rows in task.runs.values()
    ]
    draw_stacked_terms(axes, positions, terms)
    bounds = [mean_sd(values.values()) for values in task.values(supervision, "bound").values()]
    draw_bars(axes, positions, bounds, fmt="none", ecolor=BOUND_COLOR, linewidth=1)
    errors = task.test_errors(supervision)
    if errors:
        error = mean_sd(errors.values()).mean
        axes.plot(
            positions, [error] * len(positions), "D-", color=ERROR_COLOR, markersize=5,
            markerfacecolor="white", label="network's test error",
        )  # fmt: skip
        held_out = [mean_sd(_held_out(errors, n).values()).mean for n in task.runs]
        axes.plot(
            positions, held_out, "s:", color=BOUND_COLOR, markersize=5, markerfacecolor="white",
            label="n held out certify",
        )  # fmt: skip
    axes.axhline(1, color="black", linestyle="--", linewidth=1)
    axes.axhline(0.5, color="black", linestyle=":", linewidth=1)
    axes.set(title=f"{task.name}: {supervision.label}", xlabel="examples n", xticks=positions)
    axes.set_xticklabels([f"{n:,}" for n in task.runs])
    draw_grid(axes, "y")


def _rates_figure(tasks: Sequence[Series]) -> "matplotlib.figure.Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8 * len(tasks), 4.6), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        sizes = list(task.runs)
        shown = shown_supervisions(task)
        highest = 0.0
        for supervision in shown:
            means = [mean_sd(values.values()) for values in norm_terms(task, supervision).values()]
            look = line_style(supervision, shown)
            draw_bars(axes, sizes, means, label=supervision.label, **look)
            highest = max(highest, means[0].mean or 0.0)
        guide = [1.15 * highest * math.sqrt(sizes[0] / n) for n in sizes]
        axes.plot(sizes, guide, color=GREY, linewidth=1, label=r"$\propto n^{-1/2}$")
        axes.set(
            title=task.name, xlabel="examples n", ylabel=r"$\sqrt{||f||^2\,Tr\,K}\,/\,n$",
            xscale="log", yscale="log",
        )  # fmt: skip
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.xaxis.minorticks_off()
        axes.grid(True, color=LIGHT_GREY, linewidth=0.6)
        axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return figure


BOUNDS_ON_IMAGES = Study(
    name="bounds_on_images",
    question="Does the teacher-student bound say anything on images, and from which n on?",
    expected=(
        "The bound falls as n grows: where the norm of the fit to a supervision does not grow with "
        "n, its complexity term falls as n^(-1/2); a ridge that grows with n keeps the norm from "
        "growing. A teacher's predictions at tau = 4 can be "
        "fitted with a smaller norm than labels, so that their bound is smaller although it pays "
        "for the teacher's error. Whether it falls below 1, theory does not say: rather on an easy "
        "task than on a hard one."
    ),
    cases=cases,
    costs={
        "smoke": "seconds",
        "small": "15 min on one core, and 9 for the shared teachers",
        "full": "needs an accelerator; not measured",
    },
    settings=networks_of,
    expectations=(Expectation("the bound falls with n", in_readme=False),),
    analyse=analyse,
)
