"""The methods' figure: gains over offline distillation, and accuracy against complexity."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from kdtheory.palette import BLUE, GREY, VERMILION
from kdtheory.statistics.findings import finding
from kdtheory.statistics.seeds import mean_sd

if TYPE_CHECKING:
    import matplotlib.figure

#: By arm: gains over offline, complexities over root mean square, accuracies, {seed: value} each.
_Arms: TypeAlias = Mapping[
    str, tuple[Mapping[int, float], Mapping[int, float], Mapping[int, float]]
]


def methods_figure(cases: Mapping[str, _Arms]) -> "matplotlib.figure.Figure":
    """Draw two panels a student.

    Args:
      cases: by the student's name, its arms; an arm without gains is not in the left panel.
    """
    from matplotlib.figure import Figure

    heights = [0.3 * len(arms) + 1.4 for arms in cases.values()]
    figure = Figure(figsize=(10.0, max(sum(heights), 3.0)), layout="constrained")
    grid = figure.subplots(len(cases), 2, squeeze=False, height_ratios=heights)
    for (case, arms), (left, right) in zip(cases.items(), grid, strict=True):
        _gains(left, case, arms)
        _against(right, arms)
    figure.draw_without_rendering()  # what is where is known then
    for axes in grid[:, 1]:
        _apart(axes.texts)
    return figure


def _apart(labels: Sequence[Any]) -> None:
    """Raise labels above those that they would cover, from the lowest mark up."""
    placed: list[Any] = []
    for label in sorted(labels, key=lambda each: float(each.xy[1])):
        while any(label.get_window_extent().overlaps(other) for other in placed):
            x, y = label.xyann
            label.xyann = (x, y + 2)
        placed.append(label.get_window_extent())


def _gains(axes: Any, case: str, arms: _Arms) -> None:
    means = {arm: mean_sd(gains.values()).mean for arm, (gains, *_) in arms.items()}
    shown = {arm: mean for arm, mean in means.items() if mean is not None}
    ordered = sorted(shown, key=lambda arm: shown[arm])
    for height, arm in enumerate(ordered):
        gains = arms[arm][0]
        axes.plot(list(gains.values()), [height] * len(gains), "|", color=GREY, markersize=9)
        half = finding(arm, gains).half_width
        color = BLUE if half is None or shown[arm] - half <= 0 <= shown[arm] + half else VERMILION
        if half is not None:
            ends = [shown[arm] - half, shown[arm] + half]
            axes.plot(ends, [height, height], color=color, linewidth=2)
        axes.plot(shown[arm], height, "o", color=color, markersize=6)
    axes.set_yticks(range(len(ordered)), ordered)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set(title=case, xlabel="gain over offline, τ = 4 (points)")
    axes.grid(True, axis="x", color="#EEEEEE")
    axes.set_axisbelow(True)


def _against(axes: Any, arms: _Arms) -> None:
    for arm, (_, complexity, accuracy) in arms.items():
        x, y = mean_sd(complexity.values()), mean_sd(accuracy.values())
        if x.mean is None or y.mean is None:
            continue
        axes.errorbar(
            x.mean, y.mean, xerr=x.sd, yerr=y.sd, fmt="o", color=BLUE, ecolor=GREY,
            elinewidth=0.8, markersize=5,
        )  # fmt: skip
        axes.annotate(arm, (x.mean, y.mean), xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.set(
        xlabel="complexity over rms of what the student is shown",
        ylabel="test accuracy (%)",
    )
    axes.grid(True, color="#EEEEEE")
    axes.set_axisbelow(True)
