"""How each supervision looks in every figure, also in grey and to colour-blind readers."""

from collections.abc import Sequence
from typing import Any

from kdtheory.arms import Supervision
from kdtheory.palette import (
    BLACK,
    BLUE,
    CYCLE,
    DARK_GREY,
    GREEN,
    GREY,
    INDIGO,
    MAGENTA,
    OLIVE,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    TEAL,
    VERMILION,
    WINE,
)

# The marker tells the kind of supervision without colour, line style and marker filling the
# temperature.
_COLORS = {
    "random_labels": BLACK,
    "labels": VERMILION,
    "offline": BLUE,
    "online": ORANGE,
    "matched": GREEN,
    "self": PURPLE,
    "dkd": SKY_BLUE,
    "dist": WINE,
    "lskd": OLIVE,
    "rco": INDIGO,
    "one_checkpoint": TEAL,
    "two_checkpoints": MAGENTA,
}
_MARKERS = {
    "random_labels": "X",
    "labels": "s",
    "offline": "o",
    "online": "^",
    "matched": "v",
    "self": "D",
    "dkd": "P",
    "dist": "p",
    "lskd": "h",
    "rco": "<",
    "one_checkpoint": ">",
    "two_checkpoints": "*",
}
#: Of methods that users registered, by their rank among those of a figure.
_OWN_COLORS, _OWN_MARKERS = (DARK_GREY, GREY, BLACK), ("d", "H", "8")
_LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_FILLS = ("full", "none", "left", "bottom", "top")

TEACHER_COLOR = DARK_GREY


def plain_ticks(axis: Any) -> None:
    """Give a logarithmic axis whose data are drawn ticks in plain numbers: 20, and not 2 x 10^1.

    At 1, 2 and 5 times powers of ten, or at the powers alone where the axis spans many.

    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> axes.set(yscale="log", ylim=(5, 90))  # doctest: +ELLIPSIS
    [...]
    >>> plain_ticks(axes.yaxis)
    >>> [tick.get_text() for tick in axes.get_yticklabels() if 5 <= tick.get_position()[1] <= 90]
    ['5', '10', '20', '50']
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 1e3 * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def line_style(supervision: Supervision, among: Sequence[Supervision]) -> dict[str, Any]:
    """Return matplotlib's line and marker properties of one supervision.

    `among` holds all supervisions of the figure: the temperatures of one kind are told apart by
    their rank in it. From the sixth temperature on the styles repeat.

    >>> pair = [Supervision("online", 1.0), Supervision("online", 4.0)]
    >>> [line_style(s, pair)["linestyle"] for s in pair]
    ['-', '--']
    """
    same = sorted({s.order for s in among if s.name == supervision.name})
    rank = same.index(supervision.order)
    own = sorted({s.name for s in among} - set(_COLORS))
    number = own.index(supervision.name) if supervision.name in own else 0
    color = _COLORS.get(supervision.name, _OWN_COLORS[number % len(_OWN_COLORS)])
    return {
        "color": color,
        "linestyle": _LINES[rank % len(_LINES)],
        "marker": _MARKERS.get(supervision.name, _OWN_MARKERS[number % len(_OWN_MARKERS)]),
        "fillstyle": _FILLS[rank % len(_FILLS)],
        "markerfacecolor": color,
        "markerfacecoloralt": "white",
        "markeredgecolor": color,
        "markersize": 5.5,
    }


def named_line_style(name: str, among: Sequence[str]) -> dict[str, Any]:
    """Return the line and marker of a set of targets that has any name.

    A supervision's own label ("offline, τ = 4") has the looks that it has in every other figure.

    >>> named_line_style("labels", ["labels", "mine"])["marker"]
    's'
    >>> named_line_style("mine", ["labels", "mine"])["color"] == BLUE
    True
    """
    known = {each: Supervision.of_label(each) for each in among}
    supervisions = [one for one in known.values() if one is not None]
    supervision = known[name]
    if supervision is not None:
        return line_style(supervision, supervisions)
    place = [each for each in among if known[each] is None].index(name)
    used = {line_style(one, supervisions)["color"] for one in supervisions}
    colors = [color for color in CYCLE if color not in used] or list(CYCLE)
    return {
        "color": colors[place % len(colors)],
        "linestyle": _LINES[place // len(colors) % len(_LINES)],
        "marker": "osD^vPX*"[place % 8],
        "markersize": 5.5,
    }
