"""Find runs in folders, and say how far each is and what it found."""

import datetime
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from kdtheory.errors import InputError, KdtheoryError
from kdtheory.files import is_locked
from kdtheory.rows import arm_of
from kdtheory.runs.config_file import read_config
from kdtheory.runs.own_rows import own_rows
from kdtheory.runs.sweep import SWEEP_FILE
from kdtheory.statistics.stored_rows import ROWS_FILE

State = Literal["running", "complete", "interrupted", "damaged"]

#: Folders below those asked for that runs are looked for in.
_DEPTH = 4


class RunSummary(NamedTuple):
    """One run at a glance."""

    folder: Path
    state: State
    """running: a process holds its lock; complete: every seed is measured; interrupted: the same
    command continues it; damaged: its configuration or its rows cannot be read."""
    what: str
    """Data, task, teacher and student; for a damaged run, what is wrong."""
    seeds: str
    """Seeds measured, of those asked for."""
    changed: datetime.datetime
    """When a file of it was last written (local time)."""
    accuracies: tuple[tuple[str, float], ...]
    """Mean test accuracy (0 to 1) of the teacher and of each arm at the end of training."""


def find_runs(folders: Sequence[Path]) -> list[RunSummary]:
    """Return the runs in folders and up to four levels below them, the newest first.

    Raises:
      InputError: a folder that does not exist.
    """
    found: dict[Path, RunSummary] = {}
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder; name one that holds runs")
        for run in run_folders(folder):
            found[run.resolve()] = summarise(run)
    return sorted(found.values(), key=lambda summary: summary.changed, reverse=True)


def summarise(folder: Path) -> RunSummary:
    """Return a run's summary, from its configuration, its lock and its rows."""
    when = changed(folder)
    try:
        config = read_config(folder / "config.json")
        rows = own_rows(folder).rows if (folder / ROWS_FILE).exists() else []
    except KdtheoryError as error:
        message = " ".join(str(error).split())
        return RunSummary(folder, "damaged", message, "", when, ())
    measured = {
        (row["seed"], arm_of(row)) for row in rows if row["kind"] == "student" and row["final"]
    }
    seeds = range(config.distillation.seeds)
    done = [s for s in seeds if all((s, arm) in measured for arm in config.arm_list())]
    state: State = "complete" if len(done) >= config.distillation.seeds else "interrupted"
    if is_locked(folder):
        state = "running"
    accuracies: dict[str, list[float]] = {}
    for row in rows:
        if row.get("final") and row["kind"] in ("teacher", "student"):
            name = "teacher" if row["kind"] == "teacher" else arm_of(row).label
            if row["test_accuracy"] is not None:
                accuracies.setdefault(name, []).append(row["test_accuracy"])
    means = tuple((name, sum(values) / len(values)) for name, values in accuracies.items())
    return RunSummary(
        folder,
        state,
        config.title,
        f"{len(done)} of {config.distillation.seeds}",
        when,
        means,
    )


def changed(folder: Path) -> datetime.datetime:
    """Return when a run's folder was last written to (local time)."""
    files = [folder, *folder.glob("*.json*")]
    return datetime.datetime.fromtimestamp(max(path.lstat().st_mtime for path in files))


def run_folders(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Return a folder if it is a run's, else those in it that are, some levels down."""
    return (each for each in _looked_in(folder, depth) if _is_run(each))


def sweep_folders(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Return the folders of sweeps in a folder and some levels below it."""
    return (each for each in _looked_in(folder, depth) if (each / SWEEP_FILE).exists())


def _looked_in(folder: Path, depth: int) -> Iterator[Path]:
    """Return a folder and those in it, some levels down; of runs only their own."""
    yield folder
    if depth and not _is_run(folder):
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _looked_in(Path(entry.path), depth - 1)


def _is_run(folder: Path) -> bool:
    return (folder / "config.json").exists() and (folder / "data.json").exists()
