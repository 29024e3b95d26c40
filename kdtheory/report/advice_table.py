"""A ranking of supervisions as table and figure: the first, and what plain rules would take."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kdtheory.bounds.supervision_ranking import RankedSupervisions
from kdtheory.palette import BLUE, GREY, LIGHT_GREY, VERMILION
from kdtheory.report.table import Digits, Line, Table

if TYPE_CHECKING:
    import matplotlib.figure

#: Candidates that are shown; the CSV has all.
SHOWN = 15

CAPTION = (
    "Candidates by the prequential error of the student's kernel: the share of the scored examples "
    "whose label is missed by the fit to the candidate's targets of the examples before, in per "
    "cent, from and to the ends of Wilson's 95 % interval. Behind: that error less the first's on "
    "the same examples, with a 95 % interval; level: the interval holds 0. Leave-one-out: the "
    "share of labels missed by the fit to all other targets."
)


def shown_places(
    ranked: RankedSupervisions, plain: Mapping[str, int], count: int = SHOWN
) -> list[int]:
    """Return the places in the order that are shown: the first ones, and those of plain rules."""
    place = {int(index): at for at, index in enumerate(ranked.order)}
    return sorted({*range(min(count, len(place))), *(place[index] for index in plain.values())})


def advice_table(
    labels: Sequence[str],
    ranked: RankedSupervisions,
    plain: Mapping[str, int],
    *,
    notes: Sequence[str] = (),
    whole: bool = False,
) -> Table:
    """Return the ranking as a table.

    Args:
      labels: each candidate in words.
      ranked: what the kernel says of them.
      plain: plain rules in words, and what they would take.
      notes: what the ranking rests on.
      whole: all candidates, instead of the first and those of plain rules.
    """
    places = set(shown_places(ranked, plain))
    lines: list[Line] = [
        {
            "candidate": labels[i],
            "place": at + 1,
            "error (%)": _percent(ranked.error[i]),
            "from": _percent(ranked.low[i]),
            "to": _percent(ranked.high[i]),
            "behind": _percent(ranked.behind[i]),
            "behind from": _percent(ranked.behind_low[i]),
            "behind to": _percent(ranked.behind_high[i]),
            "level": "yes" if ranked.level[i] else "no",
            "leave-one-out (%)": _percent(ranked.leave_one_out[i]),
            "adjusted complexity": float(ranked.complexity[i]),
        }
        for at, i in enumerate(map(int, ranked.order))
        if whole or at in places
    ]
    table = Table.of_lines("advice", CAPTION, lines)
    place = {int(index): at + 1 for at, index in enumerate(ranked.order)}
    taken = "; ".join(f"{rule}: place {place[index]}" for rule, index in plain.items())
    return Table(
        table.name, table.caption, table.columns, notes=(f"Plain rules would take {taken}.", *notes)
    )


def _percent(value: float) -> Digits:
    return Digits(f"{100 * value:.1f}")


def advice_figure(
    labels: Sequence[str], ranked: RankedSupervisions, plain: Mapping[str, int]
) -> "matplotlib.figure.Figure":
    """Draw the errors of the candidates that the table shows, with their intervals.

    Filled marks are level with the first; the rest of the candidates are grey ticks below.
    """
    from matplotlib.figure import Figure

    places = shown_places(ranked, plain)
    figure = Figure(figsize=(8.5, 1.6 + 0.28 * len(places)), layout="constrained")
    axes = figure.subplots()
    for height, at in enumerate(reversed(places)):
        i = int(ranked.order[at])
        color = VERMILION if i in plain.values() else BLUE
        axes.plot(
            [100 * ranked.low[i], 100 * ranked.high[i]], [height] * 2, color=color, linewidth=1
        )
        axes.plot(
            100 * ranked.error[i], height, "s" if i in plain.values() else "o", color=color,
            markersize=6, markerfacecolor=color if ranked.level[i] else "white",
        )  # fmt: skip
    axes.plot(
        100 * ranked.error, np.full(len(ranked.error), -1.0), "|", color=GREY, markersize=9,
        clip_on=False,
    )  # fmt: skip
    names = [labels[int(ranked.order[at])] for at in reversed(places)]
    axes.set_yticks(range(-1, len(places)), [f"all {len(labels)}", *names])
    axes.set(
        xlabel="labels missed by the kernel's fits (%), with 95 % intervals",
        title="squares: what plain rules take; filled: level with the first",
    )
    axes.title.set_fontsize("medium")
    axes.grid(True, axis="x", color=LIGHT_GREY, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return figure
