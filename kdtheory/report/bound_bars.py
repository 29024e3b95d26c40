"""How the terms of the teacher-student bound are drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kdtheory.palette import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILION

if TYPE_CHECKING:
    import matplotlib.axes


class Term(NamedTuple):
    """One term of the bound: its words, and its looks in grey and to colour-blind readers."""

    label: str
    color: str
    hatch: str
    marker: str


#: The bound is the sum of these, in this order.
BOUND_TERMS: dict[str, Term] = {
    "teacher_error": Term("teacher's error", GREY, "", "s"),
    "margin_loss": Term("margin loss", ORANGE, "//", "^"),
    "complexity_term": Term("complexity", BLUE, "", "o"),
    "confidence_term": Term("confidence", GREEN, "..", "v"),
}

BOUND_COLOR, ERROR_COLOR = BLACK, VERMILION


def draw_stacked_terms(
    axes: "matplotlib.axes.Axes",
    positions: Sequence[float],
    terms: Sequence[dict[str, float]],
    *,
    horizontal: bool = False,
    width: float = 0.7,
) -> None:
    """Draw one bar a bound, its terms on top of one another (horizontal: side by side).

    Args:
      axes: where.
      positions: of the bars.
      terms: the value of each of `BOUND_TERMS`, for each bar.
      horizontal: bars from left to right.
      width: of a bar.
    """
    ends = [0.0] * len(positions)
    for name, term in BOUND_TERMS.items():
        lengths = [values[name] for values in terms]
        look: dict[str, Any] = {
            "color": term.color, "hatch": term.hatch, "edgecolor": "white", "label": term.label,
        }  # fmt: skip
        if horizontal:
            axes.barh(positions, lengths, width, left=ends, **look)
        else:
            axes.bar(positions, lengths, width, bottom=ends, **look)
        ends = [end + length for end, length in zip(ends, lengths, strict=True)]
