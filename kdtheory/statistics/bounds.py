"""What the rows say of the teacher-student bound: its values, one a seed."""

import math
from collections.abc import Sequence

from kdtheory.arms import Supervision
from kdtheory.rows import BoundRow, Row, bounds, number, supervision_of

#: The fields of the bound's terms; it is their sum.
TERMS = ("teacher_error", "margin_loss", "complexity_term", "confidence_term")


def bound_supervisions(rows: Sequence[Row]) -> list[Supervision]:
    """Return the supervisions whose bound was computed, in reading order."""
    return sorted({supervision_of(row) for row in bounds(rows)}, key=lambda each: each.order)


def bounds_of(rows: Sequence[Row], supervision: Supervision) -> list[BoundRow]:
    """Return the bounds of one supervision; the online teacher has one for each checkpoint."""
    return [row for row in bounds(rows) if supervision_of(row) == supervision]


def bound_values(rows: Sequence[Row], supervision: Supervision, name: str) -> dict[int, float]:
    """Return {seed: value} of one field of the bounds of a supervision.

    The online teacher has a bound for each checkpoint; its value is that of the last one.

    Args:
      rows: of one run.
      supervision: whose bound.
      name: "bound", one of `TERMS`, or another number of the rows of kind "bound".

    >>> row = dict(kind="bound", seed=0, supervision="online", supervision_temperature=4.0)
    >>> bound_values([{**row, "checkpoint_step": 10, "bound": 2.0},
    ...               {**row, "checkpoint_step": 20, "bound": 3.0}],
    ...              Supervision("online", 4.0), "bound")
    {0: 3.0}
    """
    found = sorted(bounds_of(rows, supervision), key=lambda row: row.get("checkpoint_step") or 0.0)
    return {row["seed"]: value for row in found if (value := number(row, name)) is not None}


def smallest_bounds(rows: Sequence[Row], supervision: Supervision) -> dict[int, BoundRow]:
    """Return {seed: row} of the smallest bound of a supervision, over a teacher's checkpoints.

    >>> row = dict(kind="bound", seed=0, supervision="online", supervision_temperature=4.0)
    >>> smallest_bounds([{**row, "bound": 2.0}, {**row, "bound": 1.5}],
    ...                 Supervision("online", 4.0))[0]["bound"]
    1.5
    """
    found: dict[int, BoundRow] = {}
    for row in bounds_of(rows, supervision):
        best = found.get(row["seed"])
        if best is None or row["bound"] < best["bound"]:
            found[row["seed"]] = row
    return found


def norm_term(row: BoundRow) -> float:
    """Return (1/n) sqrt(||h||^2 Tr K), the complexity term at margin 1, but for a factor 2.

    h is the fit of the targets less the untrained student, K the untrained student's kernel.
    """
    return math.sqrt(row["squared_norm"] * row["trace"]) / row["n"]
