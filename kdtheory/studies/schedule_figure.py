"""The figure of the study of the online teacher's schedule."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from kdtheory.arms import LABELS, Supervision
from kdtheory.palette import CYCLE, GREY
from kdtheory.report.drawing import draw_band, draw_bars, draw_grid
from kdtheory.report.styles import line_style
from kdtheory.rows import Row
from kdtheory.statistics.groups import arms_in
from kdtheory.statistics.seeds import final_values, mean_sd, percent
from kdtheory.studies.checkpoint_spans import Teaching, checkpoint_complexities, teachings
from kdtheory.studies.study import Values

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

#: A colour and a marker for each teacher; its temperatures differ in the line.
_TEACHERS = tuple(zip(CYCLE, "os^D", strict=False))
_LINES = ("-", "--", "-.", ":")

#: {teacher: {number of checkpoints: rows}}: a learning-rate schedule, and until-PART where its
#: checkpoints are spread over another part of the student's training.
Teachers: TypeAlias = Mapping[str, Mapping[int, list[Row]]]

#: Part of the student's training over which the teacher changes, where a name says no other.
UNTIL = 0.5


def spread_of(teacher: str) -> tuple[str, float]:
    """Return a teacher's learning-rate schedule, and over which part of training it changes.

    >>> spread_of("cosine"), spread_of("cosine-until-1")
    (('cosine', 0.5), ('cosine', 1.0))
    """
    schedule, _, part = teacher.partition("-until-")
    return schedule, float(part or UNTIL)


def online_by_part(
    teachers: Teachers, schedule: str, temperature: float | None
) -> dict[float, Values]:
    """Return {part of training in which the teacher changes: {seed: accuracy}}; offline is 0."""
    offline = Supervision("offline", temperature)
    base = next(iter(teachers[schedule].values()))
    found = {0.0: final_values(base, offline, "test_accuracy")}
    for name, runs in teachers.items():
        of_teacher, part = spread_of(name)
        if of_teacher == schedule:
            rows = next(iter(runs.values()))
            online = Supervision("online", temperature)
            found[part] = final_values(rows, online, "test_accuracy")
    return dict(sorted(found.items()))


def schedule_figure(teachers: Teachers) -> "matplotlib.figure.Figure":
    """Draw accuracy by part and number of checkpoints, the teachers' complexity, the rules."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 8.2), layout="constrained")
    (parts, counts), (trajectories, rules) = panels = figure.subplots(2, 2)
    name, runs = next(iter(teachers.items()))
    _parts_panel(parts, teachers, name)
    parts.set_title(f"students of the {name} teacher", fontsize=10)
    _accuracy_panel(counts, runs)
    counts.set_title(f"students of the {name} teacher", fontsize=10)
    _trajectory_panel(trajectories, teachers)
    trajectories.set_title("complexity of the teachers' checkpoints", fontsize=10)
    _rule_panel(rules, runs)
    rules.set_title(f"which checkpoint of the {name} teacher teaches", fontsize=10)
    for axes in panels.flat:
        draw_grid(axes)
        axes.legend(fontsize="small")
    return figure


def _parts_panel(axes: "matplotlib.axes.Axes", teachers: Teachers, schedule: str) -> None:
    rows = next(iter(teachers[schedule].values()))
    arms = [arm for arm in arms_in(rows) if arm.name == "online"]
    for arm in arms:
        accuracy = online_by_part(teachers, schedule, arm.temperature)
        values = [mean_sd(percent(each).values()) for each in accuracy.values()]
        look = line_style(arm, arms)
        draw_band(axes, list(accuracy), values, alpha=0.12, label=arm.label, **look)
    labels = mean_sd(percent(final_values(rows, LABELS, "test_accuracy")).values()).mean
    if labels is not None:
        axes.axhline(labels, color=GREY, linestyle="--", linewidth=1, label="labels")
    axes.set(
        xlabel="part of the student's training in which the teacher changes (0: offline)",
        ylabel="test accuracy (%)",
    )


def _accuracy_panel(axes: "matplotlib.axes.Axes", runs: Mapping[int, list[Row]]) -> None:
    first = next(iter(runs))
    arms = [arm for arm in arms_in(runs[first]) if arm.name in ("online", "matched")]
    counts = sorted(runs)
    for arm in arms:
        look = line_style(arm, arms)
        if arm.name == "online":
            offline = Supervision("offline", arm.temperature)
            values = {1: final_values(runs[first], offline, "test_accuracy")}
            values |= {n: final_values(runs[n], arm, "test_accuracy") for n in counts}
            accuracy = [mean_sd(percent(values[n]).values()) for n in sorted(values)]
            draw_band(axes, sorted(values), accuracy, alpha=0.12, label=arm.label, **look)
        else:
            used = mean_sd([t.changes + 1.0 for t in teachings(runs[first], arm, first).values()])
            reached = mean_sd(percent(final_values(runs[first], arm, "test_accuracy")).values())
            if used.mean is not None and reached.mean is not None:
                look = {**look, "linestyle": "none", "markersize": 8}
                draw_bars(axes, [used.mean], [reached], label=arm.label, **look)
    ticks = [1, *counts]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="checkpoints that teach (1: offline)", ylabel="test accuracy (%)")


def _trajectory_panel(axes: "matplotlib.axes.Axes", teachers: Teachers) -> None:
    # Spread otherwise, a teacher is the same.
    schedules = {name: runs for name, runs in teachers.items() if spread_of(name)[0] == name}
    for number, (name, runs) in enumerate(schedules.items()):
        rows = next(iter(runs.values()))
        color, marker = _TEACHERS[number % len(_TEACHERS)]
        online = [arm for arm in arms_in(rows) if arm.name == "online"]
        for rank, arm in enumerate(online):
            by_part: dict[float, Values] = {}
            for seed, along in checkpoint_complexities(rows, arm.temperature).items():
                for step, value in along.items():
                    by_part.setdefault(step / max(along), {})[seed] = value
            look = {
                "color": color, "marker": marker, "markersize": 4,
                "linestyle": _LINES[rank % len(_LINES)],
                "fillstyle": "full" if rank == 0 else "none",
            }  # fmt: skip
            parts = sorted(by_part)
            values = [mean_sd(by_part[part].values()) for part in parts]
            label = f"{name}, τ = {arm.temperature:g}"
            draw_band(axes, parts, values, alpha=0.12, label=label, **look)
    axes.set(xlabel="part of the teacher's training", ylabel="complexity before training")


def _rule_panel(axes: "matplotlib.axes.Axes", runs: Mapping[int, list[Row]]) -> None:
    first, rows = next(iter(runs.items()))
    epochs = [row for row in rows if row["kind"] == "student" and row["final"]]
    per_epoch = epochs[0]["step"] / epochs[0]["epoch"]
    arms = [arm for arm in arms_in(rows) if arm.name in ("online", "matched")]
    drawn_by_time = False
    for arm in arms:
        look: dict[str, Any] = {"color": GREY, "linewidth": 2.5}
        if arm.name == "matched":
            style = line_style(arm, arms)
            look = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 1.2}
        label = "by time" if arm.name == "online" else arm.label
        for teaching in teachings(rows, arm, first).values():
            # By time all seeds and temperatures are one line.
            if arm.name == "online" and drawn_by_time:
                continue
            drawn_by_time = drawn_by_time or arm.name == "online"
            times, checkpoints = _staircase(teaching)
            axes.plot(
                [t / per_epoch for t in times], [c / per_epoch for c in checkpoints],
                label=label, **look,
            )  # fmt: skip
            label = "_nolegend_"
    axes.set(xlabel="epoch of the student", ylabel="epoch of the checkpoint that teaches")


def _staircase(teaching: Teaching) -> tuple[list[int], list[int]]:
    """Return the corners of the line of checkpoints over the student's steps.

    >>> _staircase(Teaching(checkpoints=(5, 10), until=(4, 10), total_steps=10))
    ([0, 4, 4, 10], [5, 5, 10, 10])
    """
    times, checkpoints, now = [], [], 0
    for checkpoint, steps in teaching.spans.items():
        times += [now, now + steps]
        checkpoints += [checkpoint, checkpoint]
        now += steps
    return times, checkpoints
