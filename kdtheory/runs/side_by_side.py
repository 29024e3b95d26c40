"""Runs side by side: found in the folders that are named, with their settings, rows and states."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kdtheory.errors import InputError, KdtheoryError
from kdtheory.rows import Row
from kdtheory.runs.found import found_in, read_run
from kdtheory.runs.own_rows import own_rows
from kdtheory.statistics.comparison import ComparedRun, Comparison, compared
from kdtheory.statistics.stored_rows import ROWS_FILE


class SideBySide(NamedTuple):
    """Several runs, read."""

    rows: list[Row]
    notes: list[str]
    """One line for each thing that a reader should know."""
    comparison: Comparison


def side_by_side(sources: Sequence[Path], labels: Mapping[str, str] | None = None) -> SideBySide:
    """Read runs, those of sweeps' and studies' folders too.

    Args:
      sources: run folders, rows files, or folders that hold runs; a sweep's folder also says which
        of its runs failed.
      labels: other words for columns and runs.

    Raises:
      InputError: a source that is none, or no run has rows; an unknown label.
      RunError: as `own_rows`; only where the damaged run itself was named.
    """
    readable: list[Path] = []
    runs: dict[str, ComparedRun] = {}
    notes: list[str] = []
    for source in sources:
        found, said = found_in(source)
        notes += said
        if not found:
            readable.append(source)
        for each in found:
            try:
                run = read_run(each)
            except KdtheoryError as error:
                if each.named:
                    raise
                notes.append(f"{each.folder}: {' '.join(str(error).split())}; left out")
                continue
            if run.key in runs:
                notes.append(f"{each.folder} has the settings of {runs[run.key].name}: one run")
            else:
                runs[run.key] = run
            if (each.folder / ROWS_FILE).exists():
                readable.append(each.folder)
    if not readable:
        raise InputError(f"no run in {', '.join(map(str, sources))} has measured anything")
    read = own_rows(*readable)
    return SideBySide(read.rows, read.notes + notes, compared(tuple(runs.values()), labels))
