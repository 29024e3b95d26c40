"""What figures draw alike: means over seeds with their deviations, and the grid under them."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from kdtheory.palette import LIGHT_GREY
from kdtheory.statistics.seeds import MeanSd

if TYPE_CHECKING:
    import matplotlib.axes


def height(value: MeanSd) -> float:
    """Return a mean, or NaN, which matplotlib leaves out."""
    return math.nan if value.mean is None else value.mean


def draw_band(
    axes: "matplotlib.axes.Axes",
    x: Sequence[float | int],
    values: Sequence[MeanSd],
    *,
    alpha: float = 0.15,
    **look: Any,
) -> None:
    """Draw means over seeds as a line, and one standard deviation to each side as a band."""
    axes.plot(x, list(map(height, values)), **look)
    band = [(at, value.mean, value.sd) for at, value in zip(x, values, strict=True)]
    known = [(at, mean, sd) for at, mean, sd in band if mean is not None and sd is not None]
    if known:
        axes.fill_between(
            [at for at, _, _ in known],
            [mean - sd for _, mean, sd in known],
            [mean + sd for _, mean, sd in known],
            color=look["color"],
            alpha=alpha,
            linewidth=0,
        )


def draw_bars(
    axes: "matplotlib.axes.Axes", x: Sequence[float | int], values: Sequence[MeanSd], **look: Any
) -> None:
    """Draw means over seeds as marks, and one standard deviation to each side as a bar."""
    deviations = [value.sd or 0.0 for value in values]
    axes.errorbar(x, list(map(height, values)), yerr=deviations, capsize=3, **look)


def draw_grid(axes: "matplotlib.axes.Axes", axis: Literal["both", "x", "y"] = "both") -> None:
    """Draw a grid under what is drawn."""
    axes.grid(True, axis=axis, color=LIGHT_GREY, linewidth=0.6)
    axes.set_axisbelow(True)
