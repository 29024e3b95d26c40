"""The two figures: complexity along training, and accuracy beside complexity.

Figures are made without pyplot, so that nothing global changes and no display is needed.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from kdtheory.arms import Supervision
from kdtheory.errors import InputError, unknown_name
from kdtheory.palette import LIGHT_GREY
from kdtheory.report.drawing import draw_band, height
from kdtheory.report.figure_width import FigureWidth
from kdtheory.report.styles import TEACHER_COLOR, line_style, plain_ticks
from kdtheory.rows import Row
from kdtheory.statistics.comparison import UNKNOWN, Comparison
from kdtheory.statistics.groups import RunGroup, arms_in, group_rows
from kdtheory.statistics.seeds import (
    FAILED,
    MeanSd,
    complexity_points,
    failures,
    final_values,
    mean_sd,
    measured_supervisions,
    own_complexity,
    percent,
    reference_student,
)

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

#: Forms of a figure's file, and what is left out of each.
FORMS: Mapping[str, Mapping[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}

# Above this ratio between the largest and the smallest curve a linear axis flattens the lower ones.
_LOG_RATIO = 20.0
_ROW_HEIGHT = 4.2  # inches, of panels side by side on a page of their own


def complexity_figure(
    rows: Sequence[Row], comparison: Comparison = UNKNOWN, *, width: float | None = None
) -> "matplotlib.figure.Figure":
    """Draw adjusted supervision complexity against the training epoch: one line of panels a group.

    Left: every supervision measured on one and the same student, the one trained on labels (or the
    first arm that was measured), because complexities are comparable on one kernel only; this is
    the paper's Figure 1. Right: each arm's own supervision on its own student, the value that the
    table averages. Lines are means over seeds, bands one sample standard deviation to each side.
    The vertical axis is logarithmic only where the curves of a line span more than a factor of 20.
    In a width (inches) of less than 4.5, such as a paper's column, left is above and right below;
    below 6 the legend lies under them.

    Raises:
      InputError: the rows hold no complexities, or no figure has such a width.
    """
    from matplotlib.figure import Figure

    layout = FigureWidth.of(width)
    groups = {
        group: members
        for group, members in group_rows(rows, comparison).items()
        if reference_student(members, arms_in(members)) is not None
    }
    if not groups:
        raise InputError("no complexity was measured for a finished student; nothing to draw")
    row = _ROW_HEIGHT if layout.scale == 1.0 else 0.42 * layout.inches
    if layout.legend_below:
        row = 5.2 if layout.stacked else 3.4
    figure = Figure(figsize=(layout.inches, row * len(groups)), layout="constrained")
    # A subfigure a group: its legend sits beside its own panels.
    parts = figure.subfigures(len(groups), 1, squeeze=False)[:, 0]
    for part, (group, members) in zip(parts, groups.items(), strict=True):
        _complexity_panels(part, group, members, layout)
    return layout.sized(figure)


def accuracy_figure(
    rows: Sequence[Row], comparison: Comparison = UNKNOWN, *, width: float | None = None
) -> "matplotlib.figure.Figure":
    """Draw last-epoch test accuracy of each arm, and beside it against the arm's own complexity.

    Left: small marks are seeds, large ones means, bars one sample standard deviation to each side;
    the dashed line is the teacher's mean accuracy and the grey band its deviation. Right: the same
    accuracy against the adjusted complexity of the arm's own supervision. One line of panels a run
    group; the marks on the left are the legend of the right. In a width (inches) of less than
    4.5, such as a paper's column, left is above and right below.

    Raises:
      InputError: the rows hold no test accuracy of a finished student, or no figure has such a
        width.
    """
    from matplotlib.figure import Figure

    layout = FigureWidth.of(width)
    groups = {}
    for group, members in group_rows(rows, comparison).items():
        arms = [arm for arm in arms_in(members) if final_values(members, arm, "test_accuracy")]
        if arms:
            groups[group] = (members, arms)
    if not groups:
        raise InputError("no finished student has a test accuracy; nothing to draw")
    heights = [
        layout.scale * (2.2 + 0.36 * len(arms)) + 2.6 * layout.stacked
        for _, arms in groups.values()
    ]
    figure = Figure(figsize=(layout.inches, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, (group, (members, arms)) in zip(parts, groups.items(), strict=True):
        _accuracy_panels(part, group, members, arms, layout)
    return layout.sized(figure)


#: {figure: {form: its bytes}}, for as long as the figure lives.
_DRAWN: WeakKeyDictionary["matplotlib.figure.Figure", dict[str, bytes]] = WeakKeyDictionary()


def render(figure: "matplotlib.figure.Figure", form: str) -> bytes:
    """Return a figure as the bytes of a "png" (200 dots an inch), "svg" or "pdf" file.

    The same figure gives the same bytes: no date is written, and SVG's identifiers are fixed. The
    fonts of a PDF are embedded as outlines (type 42), which publishers take. A figure is drawn
    once in a form, however many files and pages show it; it is not to be changed afterwards.

    Raises:
      InputError: another form is asked for.
    """
    import matplotlib

    if form not in FORMS:
        raise unknown_name("figure form", form, FORMS)
    drawn = _DRAWN.setdefault(figure, {})
    if form not in drawn:
        buffer = io.BytesIO()
        with matplotlib.rc_context(
            {"svg.hashsalt": "kdtheory", "svg.fonttype": "path", "pdf.fonttype": 42}
        ):
            figure.savefig(buffer, format=form, dpi=200, metadata=FORMS[form])
        drawn[form] = buffer.getvalue()
    return drawn[form]


def _complexity_panels(
    part: Any, group: RunGroup, rows: Sequence[Row], layout: FigureWidth
) -> None:
    """Fill one group's two panels of the complexity figure."""
    arms = arms_in(rows)
    reference = reference_student(rows, arms)
    assert reference is not None  # the caller draws measured groups only
    common = measured_supervisions(rows, reference)
    own = [arm for arm in arms if arm in measured_supervisions(rows, arm)]
    shown = sorted({*common, *own}, key=lambda supervision: supervision.order)
    shape = (2, 1) if layout.stacked else (1, 2)
    left, right = part.subplots(*shape, sharex=True, sharey=True)
    _heading(part, group, layout)
    heights: list[float] = []
    for axes, pairs in (
        (left, [(reference, supervision) for supervision in common]),
        (right, [(arm, arm) for arm in own]),
    ):
        for student, supervision in pairs:
            points = complexity_points(rows, student, supervision, "adjusted_complexity")
            curve = _curve(rows, points)
            heights += map(height, curve.values())
            if curve:
                look = line_style(supervision, shown)
                draw_band(
                    axes, list(curve), list(curve.values()), label=supervision.label,
                    linewidth=1.6, **look,
                )  # fmt: skip
    reference_name = f"the one trained on {_marked(reference, rows)}"
    _title(left, "every supervision on one student:", reference_name)
    _title(right, "each arm's own supervision", "on its own student")
    height_label = "adjusted complexity" if layout.stacked else "adjusted supervision complexity"
    left.set_ylabel(height_label)
    if layout.stacked:
        right.set_ylabel(height_label)
    for axes in (right,) if layout.stacked else (left, right):
        axes.set_xlabel("training epoch of the student")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(True, color=LIGHT_GREY, linewidth=0.6)
    positive = [height for height in heights if height > 0]
    if positive and max(positive) > _LOG_RATIO * min(positive):
        left.set_yscale("log")
        # A band that nearly reaches zero would stretch the axis over empty decades.
        left.set_ylim(bottom=min(positive) / 2)
        plain_ticks(left.yaxis)
    lines = {}
    for axes in (left, right):
        handles, labels = axes.get_legend_handles_labels()
        lines.update(dict(zip(labels, handles, strict=True)))
    ordered = {s.label: _marked(s, rows) for s in shown if s.label in lines}
    told = [f"({_spread(rows)})"]
    if any(FAILED in label for label in ordered.values()):
        told.append(f"{FAILED} own student has a seed at chance,")
        told.append("or whose loss never fell")
    part.legend(
        [lines[label] for label in ordered],
        list(ordered.values()),
        loc="outside lower center" if layout.legend_below else "outside right center",
        ncols=1 if not layout.legend_below else 2 if layout.stacked else 3,
        title="targets" + (" " if layout.legend_below else "\n") + "\n".join(told),
        title_fontsize=9,
        fontsize=9,
        frameon=False,
        handlelength=3.2,
    )


def _curve(rows: Sequence[Row], points: Mapping[int, Mapping[int, float]]) -> dict[float, MeanSd]:
    """Return {epoch: mean and deviation over seeds} of {seed: {step: value}}."""
    epochs = {row["step"]: float(row["epoch"]) for row in rows if row["kind"] == "complexity"}
    by_step: dict[int, list[float]] = {}
    for values in points.values():
        for step, value in values.items():
            by_step.setdefault(step, []).append(value)
    return {epochs[step]: mean_sd(by_step[step]) for step in sorted(by_step)}


def _accuracy_panels(
    part: Any,
    group: RunGroup,
    rows: Sequence[Row],
    arms: Sequence[Supervision],
    layout: FigureWidth,
) -> None:
    """Fill one group's two panels of the accuracy figure."""
    if layout.stacked:
        left, right = part.subplots(2, 1, height_ratios=(2.0 + 0.36 * len(arms), 3.2))
    else:
        left, right = part.subplots(1, 2, width_ratios=(1.15, 1.0))
    _heading(part, group, layout)
    accuracy = {
        arm: list(percent(final_values(rows, arm, "test_accuracy")).values()) for arm in arms
    }
    for place, arm in enumerate(arms):
        look = {**line_style(arm, arms), "linestyle": "none"}
        value = mean_sd(accuracy[arm])
        # Seeds sit just under their mean, where the deviation's bar does not cover them.
        if len(accuracy[arm]) > 1:
            seeds = {**look, "markersize": 3.5, "alpha": 0.6}
            left.plot(accuracy[arm], [place + 0.25] * len(accuracy[arm]), **seeds)
        left.errorbar(
            [height(value)],
            [place],
            xerr=_bar(value),
            capsize=3,
            **{**look, "markersize": 8},
        )
    names = [_marked(arm, rows) for arm in arms]
    teacher = mean_sd(percent(final_values(rows, None, "test_accuracy")).values())
    if teacher.mean is not None:
        names.append(f"teacher, {_marked(None, rows, group.teacher)}")
        _draw_teacher(left, teacher, float(len(arms)))
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.5, -0.6)
    left.set_xlabel("test accuracy after the last epoch (%)")
    if any(FAILED in name for name in names):
        part.supxlabel(f"{FAILED} has a seed at chance, or whose loss never fell", fontsize=9)
    left.grid(True, axis="x", color=LIGHT_GREY, linewidth=0.6)
    counts = {len(values) for values in accuracy.values()}
    several = max(counts) > 1
    marks = "large mark: mean; small marks: seeds; bar: sd"
    if layout.stacked:
        _title(left, "accuracy of the students", _spread(rows))
    else:
        second = marks if several else "no deviation can be given"
        _title(left, f"accuracy of the students ({_spread(rows)})", second)
    _scatter(right, rows, arms, accuracy)
    if layout.legend_below:
        right.set_xlabel("adjusted complexity\nof the arm's own supervision")
    bars = "; bars: sd" if several else ""
    _title(
        right,
        "accuracy against complexity",
        f"marks as {'above' if layout.stacked else 'on the left'}{bars}",
    )


def _draw_teacher(axes: "matplotlib.axes.Axes", accuracy: MeanSd, place: float) -> None:
    """Draw the teacher's accuracy as a line through all arms, with its deviation as a band."""
    mean = height(accuracy)
    if accuracy.sd is not None:
        axes.axvspan(mean - accuracy.sd, mean + accuracy.sd, color="#E4E4E4", zorder=0)
    axes.axvline(mean, color=TEACHER_COLOR, linestyle="--", linewidth=1.2, zorder=1)
    axes.errorbar(
        [mean],
        [place],
        xerr=None if accuracy.sd is None else [accuracy.sd],
        capsize=3,
        color=TEACHER_COLOR,
        marker="*",
        markersize=12,
        linestyle="none",
    )


def _scatter(
    axes: "matplotlib.axes.Axes",
    rows: Sequence[Row],
    arms: Sequence[Supervision],
    accuracy: Mapping[Supervision, Sequence[float]],
) -> None:
    """Draw accuracy against the adjusted complexity of each arm's own supervision."""
    axes.set_xlabel("adjusted complexity of the arm's own supervision")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(True, color=LIGHT_GREY, linewidth=0.6)
    drawn = []
    for arm in arms:
        x = mean_sd(own_complexity(rows, arm, "adjusted_complexity").values())
        y = mean_sd(accuracy[arm])
        if x.mean is None or y.mean is None:
            continue
        drawn.append(x.mean)
        axes.errorbar(
            [x.mean],
            [y.mean],
            xerr=None if x.sd is None else [x.sd],
            yerr=_bar(y),
            elinewidth=1.0,
            **{**line_style(arm, arms), "linestyle": "none", "markersize": 8},
        )
    if not drawn:
        axes.text(
            0.5,
            0.5,
            "complexity of the arms' own\nsupervision was not measured",
            ha="center",
            va="center",
            transform=axes.transAxes,
        )
        axes.set_axis_off()
    elif min(drawn) > 0 and max(drawn) > _LOG_RATIO * min(drawn):
        axes.set_xscale("log")
        plain_ticks(axes.xaxis)


def _bar(accuracy: MeanSd) -> list[list[float]] | None:
    """Return a deviation below and above a mean in per cent, as far as 0 and 100 % allow."""
    if accuracy.mean is None or accuracy.sd is None:
        return None
    below, above = min(accuracy.sd, accuracy.mean), min(accuracy.sd, 100.0 - accuracy.mean)
    return [[below], [max(above, 0.0)]]


def _marked(arm: Supervision | None, rows: Sequence[Row], name: str = "") -> str:
    """Return the name of an arm (None: the teacher, by `name`), marked where a seed's failed."""
    label = name if arm is None else arm.label
    return f"{label} {FAILED}" if failures(rows, arm) else label


def _heading(part: Any, group: RunGroup, layout: FigureWidth) -> None:
    title = textwrap.fill(group.title, 34) if layout.stacked else group.title
    part.suptitle(title, fontsize=12, fontweight="bold")


def _title(axes: "matplotlib.axes.Axes", first: str, second: str) -> None:
    axes.set_title(f"{first}\n{second}", fontsize=10)


def _spread(rows: Sequence[Row]) -> str:
    """Say what a drawn deviation is made of."""
    seeds = len({row["seed"] for row in rows if row["kind"] != "teacher" and row["final"]})
    return "one seed" if seeds == 1 else f"mean ± sd of {seeds} seeds"
