"""Runs side by side: found in the folders that are named, with their settings, rows and states."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kdtheory.errors import InputError, KdtheoryError
from kdtheory.files import read_json
from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig, from_json
from kdtheory.runs.config_file import read_config
from kdtheory.runs.identity import known_before, settings_hash
from kdtheory.runs.listing import run_folders, summarise
from kdtheory.runs.own_rows import own_rows
from kdtheory.runs.store import stored_fingerprint
from kdtheory.runs.sweep import FAILURES_FILE, SWEEP_FILE
from kdtheory.statistics.comparison import ComparedRun, Comparison, Value, compared
from kdtheory.statistics.stored_rows import ROWS_FILE


class SideBySide(NamedTuple):
    """Several runs, read."""

    rows: list[Row]
    notes: list[str]
    """One line for each thing that a reader should know."""
    comparison: Comparison


class _Found(NamedTuple):
    """A run that a source names or holds."""

    name: str
    folder: Path
    config: RunConfig | None
    """As a sweep's folder describes it; None where only the run's own folder does."""
    failure: str | None
    named: bool
    """Whether the caller named it, so that what is wrong with it is an error."""


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
        found = list(_found_in(source))
        if not found:
            readable.append(source)
        for each in found:
            try:
                run = _read(each)
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


def _found_in(source: Path) -> Iterator[_Found]:
    """Return the runs of a source; none for a file of rows of which nothing else is known."""
    if source.name == ROWS_FILE and (source.parent / "data.json").exists():
        source = source.parent
    if (source / "data.json").exists():
        yield _Found(source.resolve().name, source, None, None, named=True)
        return
    if not source.is_dir():
        return
    cases, failures = _sweep_of(source)
    for name, config in cases.items():
        yield _Found(name, source / name, config, failures.get(name), named=False)
    for folder in run_folders(source):
        if folder.parent != source or folder.name not in cases:
            name = os.path.relpath(folder, source)
            yield _Found(name, folder, None, None, named=False)


def _sweep_of(folder: Path) -> tuple[dict[str, RunConfig], dict[str, str]]:
    """Return a sweep's runs and the failures among them; nothing for another folder."""
    cases = {
        name: from_json(known_before(settings), str(folder / SWEEP_FILE))
        for name, settings in _entries(folder / SWEEP_FILE).items()
    }
    failures = {
        name: str(entry.get("error")) for name, entry in _entries(folder / FAILURES_FILE).items()
    }
    return cases, failures


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    """Return the objects in a file of a sweep by their names; none where there is no such file."""
    if not path.exists():
        return {}
    try:
        held = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); remove it") from error
    if not isinstance(held, dict) or not all(isinstance(entry, dict) for entry in held.values()):
        raise InputError(f"{path} is damaged (not an object of objects); remove it")
    return held


def _read(found: _Found) -> ComparedRun:
    """Return what is known of a run besides its rows.

    Raises:
      InputError: its configuration cannot be read.
      RunError: its rows or its data are damaged.
    """
    folder, config, key = found.folder, found.config, str(found.folder)
    state = "not begun"
    if (folder / "data.json").exists():
        config = read_config(folder / "config.json")
        summary = summarise(folder)
        if summary.state == "damaged":
            own_rows(folder)  # says what is wrong
        state = summary.state
        if state != "complete":
            state += f": {summary.seeds} seeds"
        if (folder / ROWS_FILE).exists():
            fingerprint = stored_fingerprint(folder / "data.json")
            key = settings_hash(config.identity(), fingerprint)
    assert config is not None  # a sweep's, or its own
    if found.failure is not None and state != "complete":
        state = f"FAILED: {found.failure}"
    return ComparedRun(name=found.name, key=key, settings=_settings(config), state=state)


def _settings(config: RunConfig) -> dict[str, Value]:
    """Return the settings on which measurements depend, by the names of sweeps' grids."""
    settings: dict[str, Value] = {}
    for name, value in config.identity().items():
        if isinstance(value, dict):
            settings |= {f"{name}.{inner}": _value(held) for inner, held in value.items()}
        else:
            settings[name] = _value(value)
    return {**settings, "teacher": config.teacher_name}


def _value(held: Any) -> Value:
    if isinstance(held, list):
        return ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in held)
    return held
