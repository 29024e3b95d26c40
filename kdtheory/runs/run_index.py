"""The page of all runs under a folder, read from their own files."""

import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from kdtheory.errors import InputError, KdtheoryError
from kdtheory.files import open_regular, write_whole
from kdtheory.report.index_page import GENERATOR, IndexLine, index_page
from kdtheory.report.lines import Line, lines_of
from kdtheory.runs.found import FoundRun, found_in, read_run
from kdtheory.runs.listing import changed
from kdtheory.runs.own_rows import own_rows
from kdtheory.statistics.comparison import ComparedRun, compared
from kdtheory.statistics.stored_rows import ROWS_FILE

#: A run's figures, the one that answers its question first.
_FIGURES = ("accuracy", "complexity")


class _Read(NamedTuple):
    """A run, and what it has measured."""

    found: FoundRun
    run: ComparedRun | None
    """None where it is damaged."""
    lines: list[Line]
    problem: str


def write_index(folder: Path, out: Path) -> int:
    """Write the page of all runs under a folder; return how many there are.

    Failed, interrupted, damaged and collapsed runs are lines that say so.

    Args:
      folder: what is looked in, four levels deep.
      out: the page; its links are relative to it.

    Raises:
      InputError: no such folder, no run in it, or `out` is a page of something else.
      RunError: the page cannot be written.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; name one that holds runs")
    if out.exists() and not _is_ours(out):
        raise InputError(f"{out} is no page of kdtheory report; choose another --out")
    found, notes = found_in(folder)
    if not found:
        raise InputError(f"no runs in {folder}; start one with: kdtheory run")
    read = [_read(each) for each in found]
    comparison = compared([each.run for each in read if each.run is not None])
    columns = {comparison.header(name): setting for name, setting in comparison.columns.items()}
    lines = [
        IndexLine(
            name=each.found.name,
            state=_state(each),
            settings={}
            if each.run is None
            else {header: each.run.settings.get(name) for header, name in columns.items()},
            changed=_changed(each.found.folder),
            accuracies={
                "teacher" if line.arm is None else line.arm.label: (
                    line.values["test_accuracy"],
                    bool(line.failed),
                )
                for line in each.lines
            },
            link=_link(each.found.folder / "report.html", out),
            figures=[
                (f"{name} of {each.found.name}", link)
                for name in _FIGURES
                if (link := _link(each.found.folder / f"{name}.png", out)) is not None
            ],
        )
        for each in read
    ]
    above = dict.fromkeys(
        parent
        for each in found
        for parent in each.folder.parents
        if parent == folder or folder in parent.parents
    )
    pages = [
        (str(os.path.relpath(parent, folder)), link)
        for parent in above
        if (link := _link(parent / "report.html", out)) is not None
    ]
    title = f"kdtheory: runs in {folder.resolve().name}"
    write_whole(out, index_page(title, lines, pages=pages, notes=notes))
    return len(lines)


def _read(found: FoundRun) -> _Read:
    try:
        run = read_run(found)
        path = found.folder / ROWS_FILE
        lines = lines_of(own_rows(found.folder).rows) if path.exists() else []
    except KdtheoryError as error:
        return _Read(found, None, [], " ".join(str(error).split()))
    return _Read(found, run, lines, "")


def _state(read: _Read) -> str:
    if read.run is None:
        return f"damaged: {read.problem}"
    said = [read.run.state] if read.run.state != "complete" else []
    if collapsed := sum(line.failed for line in read.lines):
        said.append(f"collapsed: {collapsed} of {sum(line.seeds for line in read.lines)} networks")
    return "; ".join(said) or "complete"


def _changed(folder: Path) -> str:
    return changed(folder).strftime("%Y-%m-%d %H:%M") if folder.is_dir() else ""


def _link(path: Path, out: Path) -> str | None:
    """Return a link to a file from the page; None where there is none, or a link to elsewhere."""
    if path.is_symlink() or not path.is_file():
        return None
    return "./" + quote(os.path.relpath(path, out.parent))


def _is_ours(out: Path) -> bool:
    try:
        with open_regular(out) as file:
            return GENERATOR.encode() in file.read(1000)
    except OSError:
        return False
