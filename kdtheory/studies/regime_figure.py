"""The regime map: a panel a gain over examples and epochs, and the gains against the fit."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from kdtheory.palette import CYCLE
from kdtheory.report.drawing import draw_grid
from kdtheory.statistics.findings import judge
from kdtheory.statistics.seeds import mean_sd
from kdtheory.studies.study import Values

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

#: The gains, by what they are called.
GAINS = (
    "offline τ = 4 over labels",
    "online over offline, τ = 4",
    "offline, τ = 4 over τ = 1",
)

#: (student, examples, epochs) of a cell.
Place = tuple[str, int, int]


class _Shown(NamedTuple):
    mean: float
    half_width: float | None
    decided: bool
    fit: float | None


def regime_figure(
    cells: Mapping[Place, tuple[Mapping[str, Values], Values]],
) -> "matplotlib.figure.Figure":
    """Return the figure.

    Args:
      cells: of each cell the gains in points, and the fit in per cent, {seed: value} each.
    """
    from matplotlib.figure import Figure

    students = list(dict.fromkeys(student for student, _, _ in cells))
    height = 1.2 + 0.75 * max(4, len({n for _, n, _ in cells})) * len(students)
    figure = Figure(figsize=(15.5, height), layout="constrained")
    grid = figure.add_gridspec(len(students), 4, width_ratios=(1, 1, 1, 1.15))
    shown = {name: _shown(cells, name) for name in GAINS}
    largest = max((abs(one.mean) for of in shown.values() for one in of.values()), default=1.0)
    for line, student in enumerate(students):
        for column, name in enumerate(GAINS):
            axes = figure.add_subplot(grid[line, column])
            own = {(n, e): one for (s, n, e), one in shown[name].items() if s == student}
            _draw_map(axes, own, largest or 1.0)
            axes.set_title(name, fontsize="medium")
            if column == 0:
                axes.set_ylabel(f"training examples ({student})")
            if line == len(students) - 1:
                axes.set_xlabel("epochs")
    axes = figure.add_subplot(grid[:, 3])
    for (name, of), color, marker in zip(shown.items(), CYCLE, "os^", strict=False):
        known = [(one.fit, one) for one in of.values() if one.fit is not None]
        axes.errorbar(
            [fit for fit, _ in known], [one.mean for _, one in known],
            yerr=[one.half_width or 0.0 for _, one in known],
            color=color, marker=marker, linestyle="none", capsize=2, elinewidth=0.8, label=name,
        )  # fmt: skip
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xlabel="fitted by the student on labels (%)", ylabel="gain (points)")
    axes.legend(fontsize="small")
    draw_grid(axes)
    return figure


def _shown(
    cells: Mapping[Place, tuple[Mapping[str, Values], Values]], name: str
) -> dict[Place, _Shown]:
    found = {}
    for place, (gains, fit) in cells.items():
        if gains[name]:
            verdict, mean, half_width = judge(gains[name].values())
            found[place] = _Shown(
                mean, half_width, verdict != "undecided", mean_sd(fit.values()).mean
            )
    return found


def _draw_map(
    axes: "matplotlib.axes.Axes", shown: Mapping[tuple[int, int], _Shown], largest: float
) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    examples = sorted({n for n, _ in shown})
    epochs = sorted({e for _, e in shown})
    colours = colormaps["RdBu"]
    for (n, e), one in shown.items():
        x, y = epochs.index(e), examples.index(n)
        colour = colours(0.5 + 0.5 * one.mean / largest)
        axes.add_patch(
            Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="white", linewidth=2)
        )
        if not one.decided:
            axes.add_patch(
                Rectangle(
                    (x - 0.5, y - 0.5), 1, 1, fill=False, hatch="///", alpha=0.25, linewidth=0
                )
            )
        text = f"{one.mean:+.1f}" + ("" if one.half_width is None else f" ± {one.half_width:.1f}")
        text += "" if one.fit is None else f"\n({one.fit:.0f} %)"
        # White on the dark ends of the colours.
        ink = "white" if abs(one.mean) > 0.5 * largest else "black"
        axes.text(x, y, text, ha="center", va="center", fontsize="small", color=ink)
    axes.set(
        xlim=(-0.5, len(epochs) - 0.5),
        ylim=(-0.5, len(examples) - 0.5),
        xticks=range(len(epochs)),
        yticks=range(len(examples)),
        xticklabels=[f"{e}" for e in epochs],
        yticklabels=[f"{n:,}" for n in examples],
    )
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
