"""Results as files: each table in four forms, each figure in two or more."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdtheory.errors import InputError
from kdtheory.files import write_whole
from kdtheory.plain_text import in_spreadsheet
from kdtheory.report.figures import render
from kdtheory.report.great import great
from kdtheory.report.latex import latex
from kdtheory.report.markdown import findings_markdown, markdown
from kdtheory.report.results import CaptionedFigure
from kdtheory.report.table import Table
from kdtheory.statistics.findings import Finding
from kdtheory.statistics.seeds import MeanSd

if TYPE_CHECKING:
    import polars

#: Endings of the files that one table can be written to.
TABLE_FORMS = (".md", ".csv", ".parquet", ".tex", ".html")


def csv(table: Table) -> str:
    """Return a table as CSV, unrounded: a mean and deviation become two columns."""
    import polars

    columns: dict[str, list[Any]] = {}
    for header, cells in table.columns.items():
        if any(isinstance(cell, MeanSd) for cell in cells):
            both = [cell if isinstance(cell, MeanSd) else MeanSd(None, None, 0) for cell in cells]
            columns[f"{header} mean"] = [cell.mean for cell in both]
            columns[f"{header} sd"] = [cell.sd for cell in both]
            columns[f"{header} seeds"] = [cell.seeds for cell in both]
        else:
            columns[header] = [in_spreadsheet(c) if isinstance(c, str) else c for c in cells]
    return polars.DataFrame(columns, strict=False).write_csv()


def write_table(
    table: Table, out: Path, *, found: Sequence[Finding] | None = None, data: str | None = None
) -> list[Path]:
    """Write NAME.md, NAME.csv, NAME.tex and NAME.html into a folder; return their paths.

    Each file is replaced in one step, so that a kill never leaves half of one.

    Args:
      table: what is written.
      out: the folder; made where it is missing.
      found: findings to be told under it in Markdown and HTML; None for no word of them.
      data: what the CSV holds (default: the table's own cells).

    Raises:
      RunError: a file cannot be written.
    """
    text = markdown(table) + ("" if found is None else "\n" + findings_markdown(found))
    page = great(table, found or ()).as_raw_html(make_page=True)
    return [
        write_whole(out / f"{table.name}.md", text),
        write_whole(out / f"{table.name}.csv", csv(table) if data is None else data),
        write_whole(out / f"{table.name}.tex", latex(table)),
        write_whole(out / f"{table.name}.html", page),
    ]


def write_one_table(
    table: Table, path: Path, *, frame: "polars.DataFrame", csv_text: str | None = None
) -> Path:
    """Write a table in the form that a file's ending names; return the path.

    Args:
      table: what is written.
      path: ends in one of `TABLE_FORMS`.
      frame: the table's numbers, unrounded, for Parquet.
      csv_text: what the CSV holds (default: the table's own cells).

    Raises:
      InputError: another ending.
      RunError: the file cannot be written.
    """
    if path.suffix == ".parquet":
        return write_whole(path, frame.write_parquet)
    text = {
        ".md": lambda: markdown(table),
        ".csv": lambda: csv(table) if csv_text is None else csv_text,
        ".tex": lambda: latex(table),
        ".html": lambda: great(table).as_raw_html(make_page=True),
    }.get(path.suffix)
    if text is None:
        raise InputError(
            f"a table is written to {', '.join(TABLE_FORMS)}, got {path.name}; a name without "
            "ending is a folder"
        )
    return write_whole(path, text())


def write_figures(
    figures: Sequence[CaptionedFigure], out: Path, forms: Sequence[str] = ("png", "svg")
) -> list[Path]:
    """Write NAME.png and NAME.svg of each figure, or other forms, into a folder; return the paths.

    Files of a figure that cannot be drawn are removed, so that no earlier one stays.

    Raises:
      InputError: an unknown form.
      RunError: a file cannot be written.
    """
    written = []
    for name, _, figure, _ in figures:
        for form in forms:
            path = out / f"{name}.{form}"
            if isinstance(figure, str):
                path.unlink(missing_ok=True)
            else:
                written.append(write_whole(path, render(figure, form)))
    return written
