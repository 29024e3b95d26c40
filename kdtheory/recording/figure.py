"""The figure of a recorder: complexity against the step, as it is and over the targets' scale."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kdtheory.errors import InputError
from kdtheory.measure.values import Interval
from kdtheory.recording.recorded import Recorded
from kdtheory.report.drawing import draw_grid
from kdtheory.report.styles import named_line_style, plain_ticks

if TYPE_CHECKING:
    import matplotlib.figure

#: Above this ratio between the largest and the smallest value a linear axis flattens the lower.
_LOG_RATIO = 20.0


def along_figure(points: Sequence[Recorded]) -> "matplotlib.figure.Figure":
    """Draw adjusted complexity against the step, one line a set of targets.

    Left as it is, right over the targets' root mean square, which is the order of the sets whatever
    their scale. Bands are certified intervals.

    Raises:
      InputError: nothing was recorded.
    """
    from matplotlib.figure import Figure

    if not points:
        raise InputError("nothing was recorded; call the recorder with a step and variables")
    names = list(dict.fromkeys(point.targets for point in points))
    figure = Figure(figsize=(11.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    for axes, over in ((left, False), (right, True)):
        for name in names:
            own = [point for point in points if point.targets == name]
            values = [point.value.over_rms if over else point.value.adjusted for point in own]
            _draw(axes, [point.step for point in own], values, name, names)
        axes.set_xlabel("training step")
        axes.xaxis.get_major_locator().set_params(integer=True)
        draw_grid(axes)
        _scale(axes)
    left.set_ylabel("adjusted supervision complexity")
    right.set_ylabel("the same over the targets' rms")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside right center", title="targets", fontsize=9,
        title_fontsize=9, frameon=False, handlelength=3.2,
    )  # fmt: skip
    return figure


def _draw(
    axes: Any, steps: Sequence[int], values: Sequence[Interval], name: str, names: Sequence[str]
) -> None:
    look = named_line_style(name, names)
    axes.plot(steps, [value.middle for value in values], label=name, linewidth=1.6, **look)
    if any(value.value is None for value in values):
        ends = [value.lower for value in values], [value.upper for value in values]
        axes.fill_between(steps, *ends, color=look["color"], alpha=0.2, linewidth=0)


def _scale(axes: Any) -> None:
    heights = [float(y) for line in axes.get_lines() for y in line.get_ydata()]
    known = [height for height in heights if math.isfinite(height) and height > 0]
    if known and max(known) > _LOG_RATIO * min(known):
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
