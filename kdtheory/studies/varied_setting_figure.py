"""The bound's terms beside accuracy, as one setting of the teaching varies: the figure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kdtheory.palette import BLACK, BLUE, VERMILION
from kdtheory.report.bound_bars import BOUND_COLOR, BOUND_TERMS, ERROR_COLOR
from kdtheory.report.drawing import draw_band, draw_bars, draw_grid, height
from kdtheory.report.styles import line_style, plain_ticks
from kdtheory.rows import BoundRow, number
from kdtheory.statistics.seeds import mean_sd
from kdtheory.studies.varied_setting import (
    Place,
    accuracy_of,
    complexity_over_margin,
    of_targets,
)

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

_LINE = {"markersize": 4.5, "linewidth": 1.5}

# Quantities of the targets: measure, looks.
_TARGETS: dict[str, tuple[Any, dict[str, Any]]] = {
    "adjusted complexity": (
        of_targets("adjusted_complexity"),
        {"color": BLUE, "marker": "o", "linestyle": "-"},
    ),
    "margin": (of_targets("margin"), {"color": VERMILION, "marker": "s", "linestyle": "--"}),
    "adjusted complexity / margin": (
        complexity_over_margin,
        {"color": BLACK, "marker": "D", "linestyle": ":"},
    ),
}

#: Bounds along what is varied: its value, and the bound's row of each seed there.
BoundsAlong = Sequence[tuple[float, Sequence[BoundRow]]]


class Line(NamedTuple):
    """One line of panels."""

    title: str
    """Which students."""
    places: Sequence[Place]
    """The students along what is varied."""
    bounds: BoundsAlong
    """The bounds along it, which may be given at more values."""


def draw_terms_and_accuracy(
    lines: Sequence[Line],
    xlabel: str,
    *,
    logarithmic: bool = False,
    labels_accuracy: Mapping[int, float],
) -> "matplotlib.figure.Figure":
    """Draw targets, bound and accuracy side by side, a line of panels for each group of students.

    Means over seeds; bands, and bars of accuracies, are one standard deviation to each side. The
    vertical line is where the mean bound is smallest.

    Args:
      lines: of panels.
      xlabel: what is varied, with its unit.
      logarithmic: draw it on a logarithmic axis of base 2.
      labels_accuracy: {seed: test accuracy in percent} of the student trained on labels.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 0.6 + 3.4 * len(lines)), layout="constrained")
    panels = figure.subplots(len(lines), 3, squeeze=False, sharex=True)
    for axes, line in zip(panels, lines, strict=True):
        _draw_targets(axes[0], line)
        smallest = _draw_bounds(axes[1], line)
        _draw_accuracy(axes[2], line, labels_accuracy)
        for panel in axes:
            if logarithmic:
                panel.set_xscale("log", base=2)
                panel.set_xticks([place.value for place in line.places])
                panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            if smallest is not None:
                panel.axvline(smallest, color=BOUND_COLOR, linewidth=0.8, alpha=0.6, zorder=0)
            draw_grid(panel)
        axes[0].set_title(f"{line.title}: targets", fontsize=10)
        axes[1].set_title(f"{line.title}: bound and its terms", fontsize=10)
        axes[2].set_title(f"{line.title}: test accuracy", fontsize=10)
    for panel in panels[-1]:
        panel.set_xlabel(xlabel)
    return figure


def _draw_targets(axes: "matplotlib.axes.Axes", line: Line) -> None:
    x = [place.value for place in line.places]
    drawn: list[float] = []
    for label, (measure, look) in _TARGETS.items():
        values = [mean_sd(measure(place).values()) for place in line.places]
        draw_band(axes, x, values, label=label, **_LINE, **look)
        drawn += [value.mean for value in values if value.mean is not None]
    if drawn and min(drawn) > 0:
        axes.set_yscale("log")
        # A band that nearly reaches zero would stretch the axis over empty decades.
        axes.set_ylim(bottom=min(drawn) / 2)
        plain_ticks(axes.yaxis)
    axes.set_ylabel("on one and the same kernel")
    axes.legend(fontsize="small", frameon=False)


def _draw_bounds(axes: "matplotlib.axes.Axes", line: Line) -> float | None:
    """Draw the terms and the bound; return where the mean bound is smallest."""
    x = [value for value, _ in line.bounds]
    for name, term in BOUND_TERMS.items():
        values = [
            mean_sd([value for row in rows if (value := number(row, name)) is not None])
            for _, rows in line.bounds
        ]
        draw_band(axes, x, values, label=term.label, color=term.color, marker=term.marker, **_LINE)
    bounds = [mean_sd([row["bound"] for row in rows]) for _, rows in line.bounds]
    draw_band(
        axes, x, bounds, label="bound", color=BOUND_COLOR, marker="D", linestyle="-.", **_LINE
    )
    axes.axhline(1, color="black", linestyle="--", linewidth=1)
    errors = [
        mean_sd([1 - value / 100 for value in accuracy_of(place).values()]) for place in line.places
    ]
    axes.plot(
        [place.value for place in line.places], list(map(height, errors)),
        linestyle="none", marker="*", markersize=9, color="white", markeredgecolor=ERROR_COLOR,
        label="student's test error",
    )  # fmt: skip
    axes.set_ylabel("probability (above 1: vacuous)")
    axes.legend(fontsize="x-small", frameon=False, ncols=2)
    means = [(value.mean, where) for value, where in zip(bounds, x, strict=True)]
    known = [(mean, where) for mean, where in means if mean is not None]
    return min(known)[1] if known else None


def _draw_accuracy(
    axes: "matplotlib.axes.Axes", line: Line, labels_accuracy: Mapping[int, float]
) -> None:
    x = [place.value for place in line.places]
    values = [mean_sd(accuracy_of(place).values()) for place in line.places]
    arm = line.places[0].arm
    look = line_style(arm, [arm])
    draw_bars(axes, x, values, label=arm.name, **look)
    labels = mean_sd(labels_accuracy.values())
    if labels.mean is not None:
        axes.axhline(labels.mean, color=VERMILION, linestyle="--", linewidth=1.2, label="labels")
        if labels.sd is not None:
            axes.axhspan(
                labels.mean - labels.sd, labels.mean + labels.sd, color=VERMILION, alpha=0.12
            )
    axes.set_ylabel("test accuracy (%)")
    axes.legend(fontsize="small", frameon=False)
