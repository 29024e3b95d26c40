"""The terms of the teacher-student bound in rows: their values a seed, and how they are drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kdtheory.rows import Row, Supervision, number, supervision_of

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
    "teacher_error": Term("teacher's error", "#999999", "", "s"),
    "margin_loss": Term("margin loss", "#E69F00", "//", "^"),
    "complexity_term": Term("complexity", "#0072B2", "", "o"),
    "confidence_term": Term("confidence", "#009E73", "..", "v"),
}

BOUND_COLOR, ERROR_COLOR = "#000000", "#D55E00"


def bound_supervisions(rows: Sequence[Row]) -> list[Supervision]:
    """Return the supervisions whose bound was computed, in reading order."""
    found = {supervision_of(row) for row in rows if row["kind"] == "bound"}
    return sorted(found, key=lambda supervision: supervision.order)


def bound_values(rows: Sequence[Row], supervision: Supervision, name: str) -> dict[int, float]:
    """Return {seed: value} of one field of the bounds of a supervision.

    The online teacher has a bound for each checkpoint; its value is that of the last one.

    Args:
        rows: of one run.
        supervision: whose bound.
        name: "bound", one of `BOUND_TERMS`, or another number of the rows of kind "bound".

    Example:
        >>> row = dict(kind="bound", seed=0, supervision="online", supervision_temperature=4.0)
        >>> bound_values([{**row, "checkpoint_step": 10, "bound": 2.0},
        ...               {**row, "checkpoint_step": 20, "bound": 3.0}],
        ...              Supervision("online", 4.0), "bound")
        {0: 3.0}
    """
    last: dict[int, tuple[float, float]] = {}
    for row in rows:
        if row["kind"] != "bound" or supervision_of(row) != supervision:
            continue
        if (value := number(row, name)) is not None:
            step = row.get("checkpoint_step") or 0.0
            if row["seed"] not in last or step >= last[row["seed"]][0]:
                last[row["seed"]] = (step, value)
    return {seed: value for seed, (_, value) in last.items()}


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
