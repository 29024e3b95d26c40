"""The runs that a folder holds: where each lies, what it is set to, and how far it is."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kdtheory.errors import KdtheoryError
from kdtheory.runs.config import RunConfig
from kdtheory.runs.config_file import read_config
from kdtheory.runs.identity import settings_hash
from kdtheory.runs.listing import run_folders, summarise, sweep_folders
from kdtheory.runs.own_rows import own_rows
from kdtheory.runs.store import stored_fingerprint
from kdtheory.runs.sweep import known_cases, known_failures
from kdtheory.statistics.comparison import ComparedRun, Value
from kdtheory.statistics.stored_rows import ROWS_FILE


class FoundRun(NamedTuple):
    """A run that a source names or holds."""

    name: str
    folder: Path
    config: RunConfig | None
    """As a sweep's folder describes it; None where only the run's own folder does."""
    failure: str | None
    named: bool
    """Whether the caller named it, so that what is wrong with it is an error."""


def found_in(source: Path) -> tuple[list[FoundRun], list[str]]:
    """Return the runs of a source, and a line for each sweep in it that cannot be read.

    None for a file of rows of which nothing else is known.

    Raises:
      InputError: the source is a sweep's folder that cannot be read.
    """
    if source.name == ROWS_FILE and (source.parent / "data.json").exists():
        source = source.parent
    if (source / "data.json").exists():
        return [FoundRun(source.resolve().name, source, None, None, named=True)], []
    if not source.is_dir():
        return [], []
    found: dict[Path, FoundRun] = {}
    notes = []
    for sweep in sweep_folders(source):
        try:
            for each in _cases(sweep, source):
                found[each.folder] = each
        except KdtheoryError as error:
            if sweep == source:
                raise
            notes.append(f"{error}; which of its runs failed is not known")
    for folder in run_folders(source):
        if folder not in found:
            name = os.path.relpath(folder, source)
            found[folder] = FoundRun(name, folder, None, None, named=False)
    return list(found.values()), notes


def _cases(sweep: Path, source: Path) -> Iterator[FoundRun]:
    failures = known_failures(sweep)
    for name, config in known_cases(sweep).items():
        folder = sweep / name
        shown = os.path.relpath(folder, source)
        yield FoundRun(shown, folder, config, failures.get(name), named=False)


def read_run(found: FoundRun) -> ComparedRun:
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
