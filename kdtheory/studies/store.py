"""A run's folder: who may write there, what is done, and every row measured so far.

    out/config.json                        the configuration
    out/provenance.json                    one entry for each call that worked on the run
    out/rows.jsonl                         every measurement, gathered from the units below
    out/seeds/0/teacher/                   checkpoints, logits and rows of a teacher
    out/seeds/0/online-tau4/               checkpoints and rows of a student

A unit's rows lie in one file a measuring point. Every file is written whole or not at all, so a
killed run leaves nothing torn and continues where it was.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kdtheory.errors import InputError, RunError
from kdtheory.studies.config import RunConfig, read_config, to_json
from kdtheory.studies.provenance import provenance

Row = dict[str, Any]


def write_atomic(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
      RunError: the file cannot be written (a full disk, no permission).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror}") from error


def json_lines(rows: Sequence[Row]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)


class Unit:
    """One network of a run: a folder with its checkpoints and its rows, a file a point."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _rows_path(self, step: int) -> Path:
        return self.folder / f"rows-{step:08d}.jsonl"

    def has_rows(self, step: int) -> bool:
        """Return whether a point's rows are stored."""
        return self._rows_path(step).exists()

    def write_rows(self, step: int, rows: Sequence[Row]) -> None:
        """Store a point's rows."""
        write_atomic(self._rows_path(step), json_lines(rows))

    def read_rows(self, steps: Sequence[int]) -> list[Row]:
        """Return the rows of the points that are stored, in the order of the steps."""
        rows: list[Row] = []
        for step in steps:
            path = self._rows_path(step)
            if not path.exists():
                continue
            try:
                rows.extend(json.loads(line) for line in path.read_text().splitlines())
            except (OSError, json.JSONDecodeError) as error:
                raise RunError(
                    f"{path} is damaged ({error}); remove it to measure that point again"
                ) from error
        return rows


class RunStore:
    """The folder of one run."""

    def __init__(self, out: Path, config: RunConfig) -> None:
        self.out = out
        self.config = config

    def unit(self, seed: int, name: str) -> Unit:
        """Return the folder of one network: "teacher" or an arm's slug."""
        return Unit(self.out / "seeds" / str(seed) / name)

    def write_rows(self, rows: Sequence[Row]) -> None:
        """Gather rows into out/rows.jsonl."""
        write_atomic(self.out / "rows.jsonl", json_lines(rows))


def _check_same(stored: RunConfig, config: RunConfig, out: Path) -> None:
    mine, theirs = config.identity(), stored.identity()
    differing = [name for name in mine if mine[name] != theirs[name]]
    if differing:
        which = "; ".join(f"{name}: {theirs[name]} there, {mine[name]} asked" for name in differing)
        raise InputError(
            f"{out} holds a run of another configuration ({which}); "
            "choose another --out, or --fresh to delete it"
        )


@contextlib.contextmanager
def open_store(config: RunConfig, *, fresh: bool = False) -> Iterator[RunStore]:
    """Open a run's folder for writing, and lock it against other processes.

    Args:
      config: the run; `config.out` names the folder.
      fresh: delete what an earlier run left there.

    Raises:
      InputError: the folder holds a run of another configuration, or files that are no run's.
      RunError: another process works there, or the folder cannot be written.
    """
    out = Path(config.out)
    config_path = out / "config.json"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out must name a folder")
    if out.is_dir() and any(out.iterdir()) and not (config_path.exists() or _only_lock(out)):
        raise InputError(f"{out} holds files but no run (no config.json); choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("w")
    except OSError as error:
        raise RunError(f"cannot write to {out}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(f"another process is working in {out}; wait for it to end") from error
        if fresh:
            for path in out.iterdir():
                if path.name != ".lock":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        if config_path.exists():
            _check_same(read_config(config_path), config, out)
        write_atomic(config_path, json.dumps(to_json(config), indent=2) + "\n")
        _add_provenance(out)
        yield RunStore(out, config)


def _only_lock(out: Path) -> bool:
    return [path.name for path in out.iterdir()] == [".lock"]


def read_provenance(out: Path) -> dict[str, Any]:
    """Return a run's provenance: {"sessions": [...]}, one entry for each call that worked on it.

    Raises:
      RunError: the file is damaged.
    """
    path = out / "provenance.json"
    if not path.exists():
        return {"sessions": []}
    try:
        return {"sessions": list(json.loads(path.read_text())["sessions"])}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}); start over with --fresh") from error


def _add_provenance(out: Path) -> None:
    sessions = [*read_provenance(out)["sessions"], provenance()]
    write_atomic(out / "provenance.json", json.dumps({"sessions": sessions}, indent=2) + "\n")
