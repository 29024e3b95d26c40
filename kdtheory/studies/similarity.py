"""Do a student's NTK similarity and fidelity to its teacher, and its accuracy, rise together?"""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kdtheory.arms import Supervision
from kdtheory.palette import BLACK
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.styles import line_style
from kdtheory.report.table import Line, Table
from kdtheory.rows import Row
from kdtheory.statistics.correlations import (
    RESAMPLES,
    bootstrap_interval,
    pairs_by_seed,
    pooled_correlation,
    rank_correlations,
)
from kdtheory.statistics.findings import Finding, finding
from kdtheory.statistics.groups import arms_in
from kdtheory.statistics.seeds import final_values, mean_sd
from kdtheory.studies import accuracy
from kdtheory.studies.study import CaseRows, Expectation, Study

if TYPE_CHECKING:
    import matplotlib.figure

#: The quantities by the name of their field, and in words.
QUANTITIES = {
    "ntk_similarity": "train NTK similarity",
    "ntk_similarity_centred": "train NTK similarity, centred",
    "train_fidelity": "train fidelity",
    "test_ntk_similarity": "test NTK similarity",
    "test_ntk_similarity_centred": "test NTK similarity, centred",
    "test_fidelity": "test fidelity",
    "test_accuracy": "test accuracy",
}

#: The pairs of which the paper says that they rise together on training examples, and the same on
#: test examples: what is judged and drawn.
JUDGED = (
    ("ntk_similarity", "train_fidelity"),
    ("ntk_similarity", "test_accuracy"),
    ("train_fidelity", "test_accuracy"),
    ("test_ntk_similarity", "test_fidelity"),
    ("test_ntk_similarity", "test_accuracy"),
    ("test_fidelity", "test_accuracy"),
)

#: {arm: {seed: value}} of one quantity in one run.
_Values = Mapping[Supervision, Mapping[int, float]]


def analyse(case_rows: CaseRows) -> Results:
    """Correlate the quantities over the arms, run by run, and draw them against one another."""
    values = {case: quantities(rows) for case, rows in case_rows.items()}
    lines = [
        _line(case, of_case, first, second)
        for case, of_case in values.items()
        for first, second in itertools.combinations(QUANTITIES, 2)
    ]
    caption = (
        "Spearman's rank correlation of two quantities of the trained students. A seed: over the "
        "arms of one seed, mean ± standard deviation over seeds. Pooled: over all arms and seeds "
        "of the run, with the 95 % percentile interval of a bootstrap that draws whole seeds "
        f"({RESAMPLES} resamplings, generator seeded with 0); with three seeds there are ten "
        "different draws, so the interval is coarse, and too short if anything. The pooled "
        "correlation also holds what differs between the seeds' teachers. Similarity and fidelity "
        "are to the seed's teacher."
    )
    figure = CaptionedFigure(
        "scatter",
        "One mark a student: its arm by the mark, its run by the shade. Each quantity is shown "
        "less its mean over the arms of the same run and seed, as the correlation a seed sees it.",
        _figure(values),
    )
    table = Table.of_lines("table", caption, lines)
    return Results([table], [figure], _findings(values))


def quantities(rows: list[Row]) -> dict[str, _Values]:
    """Return {field: {arm: {seed: value}}} of the students after the last epoch."""
    arms = arms_in(rows)
    return {name: {arm: final_values(rows, arm, name) for arm in arms} for name in QUANTITIES}


def _line(case: str, values: Mapping[str, _Values], first: str, second: str) -> Line:
    by_seed = pairs_by_seed(values[first], values[second])
    interval = bootstrap_interval(by_seed)
    return {
        "run": case,
        "first": QUANTITIES[first],
        "second": QUANTITIES[second],
        "correlation a seed": mean_sd(rank_correlations(values[first], values[second])),
        "pooled": pooled_correlation(by_seed),
        "95 % from": interval.low,
        "95 % to": interval.high,
        "students": sum(len(pairs) for pairs in by_seed),
    }


def _findings(values: Mapping[str, Mapping[str, _Values]]) -> list[Finding]:
    return [
        finding(
            f"{case}: {QUANTITIES[first]} and {QUANTITIES[second]} rise together",
            rank_correlations(of_case[first], of_case[second]),
            unit=", Spearman's correlation over the arms",
            settings=(case,),
        )
        for case, of_case in values.items()
        for first, second in JUDGED
    ]


def _centred(values: _Values, seed: int) -> dict[Supervision, float]:
    """Return one seed's values less their mean over the arms."""
    of_seed = {arm: along[seed] for arm, along in values.items() if seed in along}
    mean = sum(of_seed.values()) / max(len(of_seed), 1)
    return {arm: value - mean for arm, value in of_seed.items()}


def _shade(color: str, number: int, count: int) -> tuple[float, float, float]:
    """Return a colour mixed with white, the more the later the run."""
    from matplotlib.colors import to_rgb

    part = 0.65 * number / max(count - 1, 1)
    red, green, blue = (channel + (1 - channel) * part for channel in to_rgb(color))
    return red, green, blue


def _figure(values: Mapping[str, Mapping[str, _Values]]) -> "matplotlib.figure.Figure":
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    shown = sorted(
        {arm for of_case in values.values() for arm in of_case["test_accuracy"]},
        key=lambda arm: arm.order,
    )
    figure = Figure(figsize=(11.0, 7.4), layout="constrained")
    panels = figure.subplots(2, 3).flat
    for axes, (first, second) in zip(panels, JUDGED, strict=True):
        for number, of_case in enumerate(values.values()):
            for arm in shown:
                look = _mark(
                    arm, shown, _shade(line_style(arm, shown)["color"], number, len(values))
                )
                axes.plot(*_points(of_case, first, second, arm), **look)
        axes.axhline(0, color="#BBBBBB", linewidth=0.8, zorder=0)
        axes.axvline(0, color="#BBBBBB", linewidth=0.8, zorder=0)
        axes.set(xlabel=_axis(first), ylabel=_axis(second))
        axes.locator_params(nbins=5)
        axes.grid(True, color="#EEEEEE", linewidth=0.6)
        axes.set_axisbelow(True)
    handles = [
        Line2D([], [], label=arm.label, **_mark(arm, shown, line_style(arm, shown)["color"]))
        for arm in shown
    ]
    handles += [
        Line2D([], [], label=case, **_mark_of_run(_shade(BLACK, number, len(values))))
        for number, case in enumerate(values)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize="small")
    return figure


def _mark(arm: Supervision, among: list[Supervision], color: Any) -> dict[str, Any]:
    recoloured = {"color": color, "markerfacecolor": color, "markeredgecolor": color}
    return {**line_style(arm, among), **recoloured, "linestyle": "none", "markersize": 7}


def _mark_of_run(color: Any) -> dict[str, Any]:
    return {"marker": "s", "linestyle": "none", "markersize": 10, "color": color}


def _axis(name: str) -> str:
    unit = "" if "similarity" in name else " (points)"
    return f"{QUANTITIES[name]}{unit}, less its mean"


def _points(
    of_case: Mapping[str, _Values], first: str, second: str, arm: Supervision
) -> tuple[list[float], list[float]]:
    """Return one arm's coordinates, one a seed."""
    x, y = [], []
    for seed in sorted(of_case["test_accuracy"].get(arm, {})):
        across, up = _centred(of_case[first], seed), _centred(of_case[second], seed)
        if arm in across and arm in up:
            x.append(across[arm] * (1 if "similarity" in first else 100))
            y.append(up[arm] * (1 if "similarity" in second else 100))
    return x, y


SIMILARITY = Study(
    name="similarity",
    question="Do NTK similarity, fidelity and test accuracy of students rise together?",
    expected=(
        "Over the arms, the students whose kernel is more like their teacher's agree with it more "
        "often and are more accurate: train NTK similarity, train fidelity and test accuracy are "
        "positively correlated, in pairs. The same holds on test examples if what is seen on "
        "training examples is not their fitting alone."
    ),
    cases=accuracy.cases,
    costs={
        "smoke": "seconds",
        "small": "10 s beyond the runs of accuracy",
        "full": "nothing beyond the runs of accuracy",
    },
    expectations=(Expectation("NTK similarity, fidelity and accuracy rise together"),),
    analyse=analyse,
    runs_of="accuracy",
)
