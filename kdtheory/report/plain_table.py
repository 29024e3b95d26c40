"""Any table of a study, in the four forms in which every table is written."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from kdtheory.errors import InputError
from kdtheory.files import write_whole
from kdtheory.report.columns import MISSING
from kdtheory.report.latex import escape_latex
from kdtheory.statistics.seeds import MeanSd

if TYPE_CHECKING:
    import great_tables

Cell: TypeAlias = str | int | float | MeanSd | None


class PlainTable(NamedTuple):
    """A table with its caption; a cell may be text, a number, or mean and deviation over seeds.

    - `name`: of its files, without an ending.
    - `caption`: what it shows, and what the columns mean, for a reader who sees nothing else.
    - `columns`: cells by header, all of one length.
    """

    name: str
    caption: str
    columns: Mapping[str, Sequence[Cell]]

    def records(self) -> list[dict[str, str]]:
        """Return the lines as text, by header.

        Raises:
            InputError: columns of different lengths.
        """
        lengths = {len(cells) for cells in self.columns.values()}
        if len(lengths) != 1:
            raise InputError(
                f"table {self.name!r} needs columns of one length, got {sorted(lengths)}"
            )
        texts = {header: [format_cell(c) for c in cells] for header, cells in self.columns.items()}
        return [dict(zip(texts, line, strict=True)) for line in zip(*texts.values(), strict=True)]


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
    return str(cell)


def markdown(table: PlainTable) -> str:
    """Return the table as Markdown, its caption under it."""
    records = table.records()
    headers = list(table.columns)
    numeric = {h: not any(isinstance(c, str) for c in table.columns[h]) for h in headers}
    lines = ["| " + " | ".join(headers) + " |"]
    lines.append("|" + "|".join("---:" if numeric[h] else ":---" for h in headers) + "|")
    lines += ["| " + " | ".join(r[h].replace("|", "\\|") for h in headers) + " |" for r in records]
    return "\n".join([*lines, "", table.caption, ""])


def csv(table: PlainTable) -> str:
    """Return the table as CSV, unrounded: a mean and deviation become two columns."""
    import polars

    columns: dict[str, list[Any]] = {}
    for header, cells in table.columns.items():
        if any(isinstance(cell, MeanSd) for cell in cells):
            both = [cell if isinstance(cell, MeanSd) else MeanSd(None, None, 0) for cell in cells]
            columns[f"{header} mean"] = [cell.mean for cell in both]
            columns[f"{header} sd"] = [cell.sd for cell in both]
            columns[f"{header} seeds"] = [cell.seeds for cell in both]
        else:
            columns[header] = list(cells)
    return polars.DataFrame(columns, strict=False).write_csv()


def latex(table: PlainTable) -> str:
    r"""Return a `table` environment to be used with `\usepackage{booktabs}`."""
    headers = list(table.columns)
    lines = [" & ".join(escape_latex(r[h]) for h in headers) + r" \\" for r in table.records()]
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs}.",
            r"\begin{table}",
            r"\centering",
            r"\footnotesize",
            rf"\begin{{tabular}}{{l{'r' * (len(headers) - 1)}}}",
            r"\toprule",
            " & ".join(map(escape_latex, headers)) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{escape_latex(table.caption)}}}",
            r"\end{table}",
            "",
        ]
    )


def great(table: PlainTable) -> "great_tables.GT":
    """Return the table as a great-tables object, its caption under it."""
    import polars
    from great_tables import GT, loc, style

    first = next(iter(table.columns))
    return (
        GT(polars.DataFrame(table.records()), id=f"kdtheory_{table.name}")
        .cols_align(align="right")
        .cols_align(align="left", columns=[first])
        .tab_options(data_row_padding_horizontal="9px")
        .tab_style(
            style.css("font-variant-numeric: tabular-nums; white-space: nowrap;"), loc.body()
        )
        .tab_source_note(table.caption)
    )


def write_plain_table(table: PlainTable, out: Path) -> list[Path]:
    """Write NAME.md, NAME.csv, NAME.tex and NAME.html into a folder; return their paths.

    Raises:
        InputError: columns of different lengths, or a file cannot be written.
    """
    return [
        write_whole(out / f"{table.name}.md", markdown(table)),
        write_whole(out / f"{table.name}.csv", csv(table)),
        write_whole(out / f"{table.name}.tex", latex(table)),
        write_whole(out / f"{table.name}.html", great(table).as_raw_html(make_page=True)),
    ]
