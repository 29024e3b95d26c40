"""A table of any cells: what is shown of a run, of several runs, or of a study."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from kdtheory.errors import InputError
from kdtheory.plain_text import plain
from kdtheory.statistics.seeds import MeanSd, mean_sd

#: Stands in a cell for which the rows hold no value.
MISSING = "—"


class Digits(str):
    """A number as text, with as many decimals as its column has."""

    __slots__ = ()


#: Text, a number, or mean and deviation over seeds.
Cell: TypeAlias = str | int | float | MeanSd | None

#: Cells by header; one may be {seed: value}, of which mean and deviation are shown.
Line: TypeAlias = Mapping[str, Cell | Mapping[int, float]]


@dataclass(frozen=True)
class Table:
    """A table with its caption, and what a reader must know beside it."""

    name: str
    """Of its files, without an ending."""
    caption: str
    """What it shows, and what the columns mean, for a reader who sees nothing else."""
    columns: Mapping[str, Sequence[Cell]]
    """Cells by header, all of one length."""
    sections: Sequence[str] = ()
    """The section of each line, by its title; none if there are no sections."""
    meanings: Mapping[str, str] = field(default_factory=dict)
    """What columns mean, by header, where the caption does not say it."""
    notes: Sequence[str] = ()
    """What was left out, and why."""
    spanners: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What several columns, by header, have in common."""

    def __post_init__(self) -> None:
        for name in ("sections", "notes"):  # they name what comes from outside
            object.__setattr__(self, name, tuple(map(plain, getattr(self, name))))
        lengths = {len(cells) for cells in self.columns.values()}
        if len(lengths) > 1:
            raise InputError(
                f"table {self.name!r} needs columns of one length, got {sorted(lengths)}"
            )

    @classmethod
    def of_lines(cls, name: str, caption: str, lines: Iterable[Line]) -> "Table":
        """Return a table from its lines; what one lacks is missing there.

        >>> Table.of_lines("t", "", [{"arm": "labels", "accuracy": {0: 1.0, 1: 3.0}}]).texts()
        {'arm': ['labels'], 'accuracy': ['2.00 ± 1.41']}
        """
        listed = list(lines)
        headers = dict.fromkeys(header for line in listed for header in line)
        columns = {header: [_shown(line.get(header)) for line in listed] for header in headers}
        return cls(name, caption, columns)

    def texts(self) -> dict[str, list[str]]:
        """Return the cells as text, by header."""
        return {header: list(map(format_cell, cells)) for header, cells in self.columns.items()}

    def lines(self) -> list[list[str]]:
        """Return the cells as text, line by line."""
        return [list(line) for line in zip(*self.texts().values(), strict=True)]

    def by_section(self) -> dict[str, list[list[str]]]:
        """Return the lines of each section, in order; without sections all under ""."""
        found: dict[str, list[list[str]]] = {}
        lines = self.lines()
        for title, line in zip(self.sections or [""] * len(lines), lines, strict=True):
            found.setdefault(title, []).append(line)
        return found

    def is_text(self, header: str) -> bool:
        """Return whether a column holds words, and no numbers."""
        return any(isinstance(c, str) and not isinstance(c, Digits) for c in self.columns[header])


def _shown(cell: Cell | Mapping[int, float]) -> Cell:
    return mean_sd(cell.values()) if isinstance(cell, Mapping) else cell


def format_number(value: float) -> str:
    """Return a number with three significant digits, and whole from 100 on.

    >>> [format_number(x) for x in (0.012345, 1.5, 56.789, 12345.6, 3e-7)]
    ['0.0123', '1.5', '56.8', '12346', '3e-07']
    """
    return f"{value:.0f}" if 100 <= abs(value) < 1e7 else f"{value:.3g}"


def format_cell(cell: Cell) -> str:
    """Return a cell as text: the deviation with as many decimals as the mean.

    >>> format_cell(MeanSd(56.789, 0.345, 3)), format_cell(None), format_cell(MeanSd(2.0, None, 1))
    ('56.79 ± 0.34', '—', '2')
    >>> format_cell(MeanSd(0.1, 1e-17, 3))
    '0.100 ± 0.000'
    """
    if cell is None:
        return MISSING
    if isinstance(cell, MeanSd):
        if cell.mean is None:
            return MISSING
        if cell.sd is None:
            return format_number(cell.mean)
        # Two digits of the deviation, but never fewer than three of the mean. Equal values may have
        # a deviation of a rounding error.
        sizes = [abs(cell.sd) / 10] if cell.sd > 1e-9 * abs(cell.mean) else []
        sizes += [abs(cell.mean) / 100] if cell.mean else []
        if not sizes or not 1e-6 < max(sizes) < 1e6:
            return f"{cell.mean:.3g} ± {cell.sd:.2g}"
        decimals = max(0, -math.floor(math.log10(min(sizes))))
        return f"{cell.mean:.{min(decimals, 6)}f} ± {cell.sd:.{min(decimals, 6)}f}"
    if isinstance(cell, float):
        return format_number(cell) if math.isfinite(cell) else MISSING
    return plain(cell) if isinstance(cell, str) else str(cell)
