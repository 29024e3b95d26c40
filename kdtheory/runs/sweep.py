"""Sweeps: many runs that differ in some settings, described by one file.

    # sweep.toml
    [base]                                  # any settings of a run
    dataset = "cifar100"
    task = "first_half"
    student_optimizer = { learning_rate = 0.01 }

    [grid]                                  # every combination becomes a run
    student = ["lenet5x1", "lenet5x8"]
    label_noise = [0.0, 0.2]

    [[cases]]                               # more runs, each with settings of its own
    name = "large-teacher"
    teacher = "resnet56"

JSON of the same structure will do as well. Each run has a folder of its name in the sweep's folder.
"""

import copy
import itertools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kdtheory.errors import InputError, unknown_name
from kdtheory.files import parse_json, read_json, read_text, refuse_link, write_json
from kdtheory.runs.config import RunConfig, from_json, to_json
from kdtheory.runs.identity import known_before

_SECTIONS = ("base", "grid", "cases")

#: Names of the files in a sweep's folder that say what each run is, and which of them failed.
SWEEP_FILE, FAILURES_FILE = "sweep.json", "failures.json"


class Outcome(NamedTuple):
    """How a run of a sweep ended."""

    name: str
    error: str | None
    """None for a run that is complete; otherwise one line that says what stopped it."""
    log: str | None
    """File with the job's own output, where it ran as a job."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run of a sweep: its name, which is its folder's, and its configuration."""

    name: str
    config: RunConfig


def read_sweep(path: Path, out: Path) -> tuple[Case, ...]:
    """Read a sweep file and return its runs.

    Args:
      path: a .toml or .json file with [base], [grid] and [[cases]]; each may be missing.
      out: the sweep's folder.

    Raises:
      InputError: no such file, not TOML or JSON, an unknown section or setting, a value that does
        not fit, or two runs of one name; one line.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise InputError(f"sweep file {path}: {error.strerror}") from error
    except UnicodeError as error:
        raise InputError(f"sweep file {path} is not UTF-8 text") from error
    try:
        values = parse_json(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise InputError(f"sweep file {path} is not {kind}: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"sweep file {path} must hold the sections {', '.join(_SECTIONS)}")
    return expand(values, out, source=f"sweep file {path}")


def expand(values: Mapping[str, Any], out: Path, *, source: str = "sweep") -> tuple[Case, ...]:
    """Return the runs of a sweep: the grid's combinations, then the cases.

    Args:
      values: {"base": settings, "grid": {setting: values}, "cases": [settings with "name"]}; a
        setting of the grid may be nested, such as "student_optimizer.learning_rate".
      out: the sweep's folder; each run's lies in it.
      source: where the values come from, for error messages.

    Raises:
      InputError: as `read_sweep`.

    >>> [case.name for case in expand({"grid": {"seeds": [1], "epochs": [2, 4]}}, Path("runs"))]
    ['seeds=1,epochs=2', 'seeds=1,epochs=4']
    """
    for name in values:
        if name not in _SECTIONS:
            raise unknown_name(f"section in {source}:", name, _SECTIONS)
    base, grid = values.get("base", {}), values.get("grid", {})
    for name, section, kind in (("base", base, dict), ("grid", grid, dict)):
        if not isinstance(section, kind):
            raise InputError(f"{source}: {name} must be a table of settings")
    for name, choices in grid.items():
        if not isinstance(choices, list) or not choices:
            raise InputError(f"{source}: grid.{name} must be a list of values, got {choices!r}")
    named: list[tuple[str, dict[str, Any]]] = []
    if grid:
        for combination in itertools.product(*grid.values()):
            changes = dict(zip(grid, combination, strict=True))
            named.append((",".join(f"{k}={_slug(v)}" for k, v in changes.items()), changes))
    cases = values.get("cases", [])
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise InputError(f"{source}: cases must be a list of tables")
    for number, case in enumerate(cases):
        changes = dict(case)
        named.append((_slug(changes.pop("name", f"case{number}")), changes))
    if not named:
        named = [("base", {})]
    names = [name for name, _ in named]
    twice = sorted({name for name in names if names.count(name) > 1})
    for name in names:
        # Hidden folders, and the two names that are no folder of the sweep's.
        if name.startswith("."):
            raise InputError(f"{source}: a run cannot be named {name!r}: it begins with a dot")
    if twice:
        raise InputError(f"{source}: two runs have the name {twice[0]}; give each case its own")
    return tuple(_case(name, base, changes, out, source) for name, changes in named)


def _case(
    name: str, base: Mapping[str, Any], changes: Mapping[str, Any], out: Path, source: str
) -> Case:
    settings = copy.deepcopy(dict(base))
    for setting, value in changes.items():
        *path, last = setting.split(".")
        place: Any = settings
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise InputError(f"{source}: {setting} is no nested setting")
        place[last] = value
    if "out" in settings:
        raise InputError(f"{source}: out is not a setting of a sweep; kdtheory sweep has --out")
    return Case(name=name, config=from_json({**settings, "out": str(out / name)}, source))


def _slug(value: object) -> str:
    """Return a value as part of a folder's name."""
    if isinstance(value, list):
        return "+".join(map(_slug, value))
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", text)


def write_sweep(cases: Sequence[Case], out: Path) -> None:
    """Write what each run is into the sweep's folder; later sweeps of that folder add theirs.

    Raises:
      RunError: it cannot be written.
      InputError: a link in the place of a run's folder, or what is there is damaged.
    """
    for case in cases:
        refuse_link(out / case.name)
    known_cases(out)  # what is wrong with it is said before runs are made
    known = _entries(out / SWEEP_FILE)
    known.update({case.name: to_json(case.config) for case in cases})
    write_json(out / SWEEP_FILE, known)


def known_cases(folder: Path) -> dict[str, RunConfig]:
    """Return the runs that sweeps of a folder described there, by name; none for another folder.

    Raises:
      InputError: the file that says so is damaged.
    """
    path = folder / SWEEP_FILE
    return {
        name: from_json(known_before(settings), str(path))
        for name, settings in _entries(path).items()
    }


def known_failures(folder: Path) -> dict[str, str]:
    """Return why runs of a folder's last sweep failed, by name; none for another folder.

    Raises:
      InputError: the file that says so is damaged.
    """
    entries = _entries(folder / FAILURES_FILE)
    return {name: str(entry.get("error")) for name, entry in entries.items()}


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
    for name in held:
        if Path(name).name != name:
            raise InputError(f"{path} is damaged ({name!r} is no folder's name); remove it")
    return held


def write_failures(failed: Sequence[Outcome], out: Path) -> None:
    """Write which runs failed, and why, into the sweep's folder; no failures, no file.

    Raises:
      RunError: it cannot be written.
    """
    path = out / FAILURES_FILE
    if not failed:
        path.unlink(missing_ok=True)
        return
    values = {outcome.name: {"error": outcome.error, "log": outcome.log} for outcome in failed}
    write_json(path, values)
