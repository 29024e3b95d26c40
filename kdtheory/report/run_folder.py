"""Write everything that a run's rows give into one folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdtheory.errors import InputError
from kdtheory.files import write_whole
from kdtheory.report.figures import accuracy_figure, complexity_figure, render
from kdtheory.report.html import write_report
from kdtheory.report.tables import write_tables
from kdtheory.rows import Row


def write_all(
    rows: Sequence[Row],
    out_dir: Path | str,
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    title: str,
    notes: Sequence[str] = (),
) -> list[Path]:
    """Write tables, figures and the report into a folder; return the paths that were written.

    These are table.md, table.csv, table.tex, table.html, complexity.png and .svg, accuracy.png and
    .svg, and report.html. A figure for which the rows hold nothing is not written, and an old one
    of that name is removed, so that the folder never shows another run's figure; the report says
    why it is missing.

    Args:
        rows: the checked rows of one or several runs.
        out_dir: the folder; made where it is missing.
        config: the run's configuration, for the report.
        provenance: versions, machine, times, for the report.
        title: the report's heading.
        notes: lines for the reader of the report.

    Raises:
        InputError: there are no rows, one arm has several alphas, or a file cannot be written.
    """
    out = Path(out_dir)
    written = write_tables(rows, out)
    for name, draw in (("complexity", complexity_figure), ("accuracy", accuracy_figure)):
        try:
            figure = draw(rows)
        except InputError:
            for form in ("png", "svg"):
                (out / f"{name}.{form}").unlink(missing_ok=True)
            continue
        written += [
            write_whole(out / f"{name}.{form}", render(figure, form)) for form in ("png", "svg")
        ]
    report = write_report(rows, out, config=config, provenance=provenance, title=title, notes=notes)
    return [*written, report]
