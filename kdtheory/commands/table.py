"""`kdtheory table`."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from kdtheory.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Table:
    """Make one table out of several runs, from their rows.jsonl alone."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, or rows.jsonl files."""
    out: Path | None = None
    """Folder to write table.{md,csv,tex,html}, figures and report.html to (default: print only)."""


def table(options: Table) -> None:
    """Run `kdtheory table`."""
    from kdtheory.report import (
        print_results,
        run_results,
        stdout_console,
        write_run,
    )
    from kdtheory.runs.own_rows import own_rows

    if not options.runs:
        raise InputError("name at least one run folder or rows.jsonl file")
    read = own_rows(*options.runs)
    for note in read.notes:
        print(f"note: {note}", file=sys.stderr)
    if options.out is not None:  # first: whoever reads the printed table may go away (`| head`)
        names = [str(path) for path in options.runs]
        title = "kdtheory: " + ", ".join(names)
        write_run(read.rows, options.out, config={"runs": names}, provenance={}, title=title)
    print_results(run_results(read.rows), stdout_console())
    if options.out is not None:
        print(f"wrote {options.out}/report.html and the tables and figures beside it")
