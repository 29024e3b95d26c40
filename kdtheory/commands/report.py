"""`kdtheory report`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from kdtheory.errors import InputError
from kdtheory.plain_text import number_of, say


@dataclass(frozen=True, kw_only=True)
class Report:
    """Make one page of all runs under a folder: settings that differ, accuracies, figures, links.

    kdtheory report runs

    The page is a file for any browser, without network and server; a click on a heading sorts.
    Runs that failed, were interrupted, are damaged, or have networks that collapsed are lines that
    say so. What it shows lies in the runs' folders, so move it with them.
    """

    folder: tyro.conf.Positional[Path] = Path("runs")
    """Folder that holds runs, sweeps and studies, four levels deep."""
    out: Path | None = None
    """The page (default: index.html in the folder)."""


def report(options: Report) -> None:
    """Run `kdtheory report`."""
    from kdtheory.runs.run_index import write_index

    out = options.folder / "index.html" if options.out is None else options.out
    if out.suffix != ".html":
        raise InputError(f"--out must name an .html file, got {out}")
    count = write_index(options.folder, out)
    say(f"wrote {out}: {number_of(count, 'run')}")
