"""The columns of the table: where each comes from, what it means, and how it is printed."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from kdtheory.errors import unknown_name
from kdtheory.report.table import MISSING, Cell, Digits
from kdtheory.statistics.seeds import FAILED, MeanSd

Source = Literal["supervision", "final"]

#: Where a column comes from, in words.
SOURCES: dict[Source, str] = {
    "supervision": "the arm's own supervision",
    "final": "the student after the last epoch",
}


class Column(NamedTuple):
    """One numeric column."""

    name: str
    """The field of the rows, and the stem of the CSV's `<name>_mean` and `<name>_sd`."""
    header: str
    """As printed, with the unit."""
    source: Source
    """Either "supervision", the arm's own supervision on its own student, averaged over the
    measuring points; or "final", the last epoch."""
    decimals: int | None
    """Fixed, or None for three significant digits of the column's smallest entry."""
    scale: float
    """What the value is multiplied by for print (100 for per cent)."""
    meaning: str
    """One line for the caption."""


#: The table's numeric columns, in order.
COLUMNS: tuple[Column, ...] = (
    Column(
        "complexity",
        "complexity",
        "supervision",
        None,
        1.0,
        "Supervision complexity Y^T K^-1 Y of the arm's own targets Y on its own student, K the"
        " student's NTK Gram matrix (with the ridge that the run names); mean over the measuring"
        " points. Its scale depends on K, so compare it on one kernel only. No unit.",
    ),
    Column(
        "adjusted_complexity",
        "adjusted complexity",
        "supervision",
        None,
        1.0,
        "(1/n) sqrt(Y^T K^-1 Y · Tr K), n the number of examples; it does not change with the scale"
        " of K. With one output and no ridge, random ±1 labels give at least 1 in root mean square."
        " No unit.",
    ),
    Column(
        "margin",
        "margin",
        "supervision",
        3,
        1.0,
        "Mean margin of the arm's targets with respect to the labels that were trained on, label"
        " noise included. Scaling the targets scales margin and sqrt(complexity) alike, so read the"
        " two together. In the targets' unit.",
    ),
    Column(
        "train_loss",
        "train loss",
        "final",
        None,
        1.0,
        "Mean of the arm's own loss on the training examples, in nats: cross-entropy, or the"
        " distillation loss, whose part from the teacher has the factor τ². Arms minimise different"
        " losses: do not rank arms by it.",
    ),
    Column(
        "train_fidelity",
        "train fidelity (%)",
        "final",
        2,
        100.0,
        "Share of the training examples on which student and final teacher decide alike.",
    ),
    Column(
        "test_fidelity",
        "test fidelity (%)",
        "final",
        2,
        100.0,
        "The same on the test examples.",
    ),
    Column(
        "ntk_similarity",
        "NTK similarity",
        "final",
        3,
        1.0,
        "Cosine between the student's NTK and the final teacher's on training examples; 1 is equal"
        " up to scale.",
    ),
    Column(
        "test_accuracy",
        "test accuracy (%)",
        "final",
        2,
        100.0,
        "Share of the test examples that are classified correctly, after the last epoch (not the"
        " best one).",
    ),
)

#: Fields of the last epoch's student row whose mean and deviation stand in the CSV only.
CSV_ONLY = ("ntk_similarity_centred",)

#: What holds for the whole table.
GENERAL_CAPTION = (
    "One row an arm. Mean ± sample standard deviation over seeds (n − 1 in the denominator); a"
    f" value without ± comes from one seed; {MISSING} means that the run did not measure it."
    " Training values are those of the last epoch. The teacher's row is its final checkpoint."
    " The CSV holds fractions where the table shows per cent."
)

#: What the caption adds where a network was not trained by its training.
FAILED_CAPTION = (
    f" {FAILED}: among its seeds is a network that ended at chance, or whose loss never fell; its"
    " values are in the means."
)

#: What the caption adds where two run groups differ in their settings only.
SETTINGS_CAPTION = (
    " Runs that differ only in their settings stand apart; (settings …) is a short hash of all that"
    " a measurement depends on, seeds and arms aside."
)


#: What the caption adds where runs stand side by side.
SIDE_BY_SIDE_CAPTION = " The first columns are the settings in which the runs differ."


def shown_columns(names: Sequence[str]) -> tuple[Column, ...]:
    """Return the numeric columns that a table shows, in the order asked for.

    Args:
      names: of `COLUMNS`; none for all.

    Raises:
      InputError: an unknown name.

    >>> [column.header for column in shown_columns(["test_accuracy", "margin"])]
    ['test accuracy (%)', 'margin']
    >>> shown_columns(["accuracy"])
    Traceback (most recent call last):
    ...
    kdtheory.errors.InputError: unknown column 'accuracy'; ...
    """
    known = {column.name: column for column in COLUMNS}
    for name in names:
        if name not in known:
            raise unknown_name("column", name, known)
    return tuple(known[name] for name in dict.fromkeys(names)) or COLUMNS


def format_column(column: Column, values: Sequence[MeanSd]) -> list[Cell]:
    """Format one column's values with the same number of decimals.

    >>> format_column(COLUMNS[0], [MeanSd(1234.56, 7.89, 3), MeanSd(None, None, 0)])
    ['1235 ± 8', '—']
    >>> format_column(COLUMNS[-1], [MeanSd(0.9512, None, 1)])
    ['95.12']
    """
    decimals = _decimals(column, values)
    return [Digits(with_spread(value, column.scale, decimals)) for value in values]


def _decimals(column: Column, values: Sequence[MeanSd]) -> int | None:
    """Decimals for a whole column; None where its range asks for the scientific form."""
    if column.decimals is not None:
        return column.decimals
    sizes = [abs(column.scale * v.mean) for v in values if v.mean]
    if not sizes:
        return 0
    decimals = max(0, 2 - math.floor(math.log10(min(sizes))))
    return decimals if decimals <= 5 and max(sizes) < 1e7 else None


def with_spread(value: MeanSd, scale: float = 1.0, decimals: int | None = 2) -> str:
    """Return a mean and, if there is one, its deviation, both with so many decimals.

    Args:
      value: mean and deviation over seeds.
      scale: a factor of both, such as 100 for per cent.
      decimals: of both; None for the scientific form.

    >>> with_spread(MeanSd(0.91234, 0.005, 3), 100.0), with_spread(MeanSd(91.0, None, 1))
    ('91.23 ± 0.50', '91.00')
    >>> with_spread(MeanSd(None, None, 0))
    '—'
    """
    if value.mean is None:
        return MISSING
    digits = ".2e" if decimals is None else f".{decimals}f"
    text = f"{scale * value.mean:{digits}}"
    if text.lstrip("-0.") == "":
        text = text.lstrip("-")
    return text if value.sd is None else f"{text} ± {scale * value.sd:{digits}}"
