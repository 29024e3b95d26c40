"""A run's folder: who may write there, what is done, and every row measured so far.

    out/config.json                        the configuration
    out/data.json                          what the data were: source, sizes, fingerprint
    out/provenance.json                    one entry for each call that worked on the run
    out/rows.jsonl                         every measurement, gathered from the units below
    out/rows.jsonl.sha256                  its digest, which `sha256sum -c` checks too
    out/seeds/0/teacher/                   checkpoints, logits and rows of a teacher
    out/seeds/0/online-tau4/               checkpoints and rows of a student
    out/views/                             the teacher's logits on views (teacher_cache)

A unit's rows lie in one file a point. Every file is written whole or not at all, so a
killed run leaves nothing torn and continues where it was. Checkpoints, logits and rows are sealed
(`kdtheory.digests`): what is damaged is made again or refused, what is another's is refused.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdtheory.digests import Owner
from kdtheory.errors import InputError, RunError
from kdtheory.files import (
    is_temporary,
    locked_folder,
    read_json,
    refuse_links,
    remove_temporaries,
    write_json,
)
from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig, extended, to_json
from kdtheory.runs.config_file import read_config
from kdtheory.runs.identity import settings_hash
from kdtheory.runs.own_code import warn_of_changed_code
from kdtheory.runs.prng import check_prng
from kdtheory.runs.provenance import is_sealed, provenance
from kdtheory.runs.unit import Unit
from kdtheory.statistics.stored_rows import ROWS_FILE, write_rows_file


class RunStore:
    """The folder of one run."""

    def __init__(self, out: Path, config: RunConfig, settings: str, *, sealed: bool) -> None:
        self.out = out
        #: Whether everything of the run is sealed: not in runs that versions before seals began.
        self.sealed = sealed
        #: What to run: what was asked for, and the arms and seeds that are stored already.
        self.config = config
        #: Short hash of everything a measurement depends on besides arm and seed; in every row.
        self.settings = settings

    def unit(self, seed: int, name: str) -> Unit:
        """Return the folder of one network: "teacher" or an arm's slug."""
        owner = Owner(
            names={"run": self.settings, "seed": seed, "network": name}, sealed=self.sealed
        )
        return Unit(self.out / "seeds" / str(seed) / name, owner)

    def write_rows(self, rows: Sequence[Row]) -> None:
        """Gather rows into out/rows.jsonl."""
        write_rows_file(self.out / ROWS_FILE, rows)


#: The folders that a run makes in its own.
FOLDERS = ("seeds", "together", "views", "tensorboard")

#: What a run writes into its folder: all that `fresh` ever deletes.
WRITTEN = (
    *FOLDERS, "config.json", "data.json", "provenance.json", "rows.jsonl", "rows.jsonl.sha256",
    "report.html",
    *(
        f"{name}.{ending}"
        for name in ("table", "certificates")
        for ending in ("md", "csv", "tex", "html")
    ),
    *(f"{name}.{ending}" for name in ("complexity", "accuracy") for ending in ("png", "svg")),
)  # fmt: skip


def check_same(stored: Mapping[str, Any], asked: Mapping[str, Any], out: Path) -> None:
    """Raise InputError if a stored run and the one asked for differ, naming what differs."""
    differing = [name for name in asked if stored.get(name) != asked[name]]
    if differing:
        which = "; ".join(_difference(name, stored.get(name), asked[name]) for name in differing)
        raise InputError(
            f"{out} holds a run of another configuration ({which}); "
            "choose another --out, or --fresh to delete it"
        )


def _difference(name: str, there: Any, asked: Any) -> str:
    """Return in words how two runs differ in a setting; in their data, by what came from where."""
    if name != "data":
        return f"{name}: {there} there, {asked} asked"
    one, other = _digests(there), _digests(asked)
    return ", ".join(
        f"{part}: {one.get(part, 'none')[:12]} there, {other.get(part, 'none')[:12]} asked"
        for part in one | other
        if one.get(part) != other.get(part)
    )


def _digests(fingerprint: str) -> dict[str, str]:
    """Return {what: its digest} of what `_fingerprint` made."""
    images, *files = (part.rpartition(":") for part in fingerprint.split("+"))
    named = {name or "teacher_logits": digest for name, _, digest in files}
    return {"data": images[2], **named}


def delete_run(out: Path) -> None:
    """Delete what a run wrote into its folder, and nothing else.

    Raises:
      RunError: something cannot be deleted.
    """
    try:
        for name in WRITTEN:
            path = out / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot delete the run in {out}: {error.strerror}") from error


@contextlib.contextmanager
def open_store(
    config: RunConfig, *, data: Mapping[str, Any], fresh: bool = False
) -> Iterator[RunStore]:
    """Open a run's folder for writing, and lock it against other processes.

    Args:
      config: the run; `config.output.out` names the folder.
      data: provenance of the data set, with its fingerprint "sha256".
      fresh: delete what an earlier run left there.

    Raises:
      InputError: the folder holds a run of another configuration or of other data, files that are
        no run's, or links in the place of a run's folders.
      RunError: another process works there, or the folder cannot be written.

    Warns:
      UserWarning: code that was imported for the run has changed, or is not imported now.
    """
    out = Path(config.output.out)
    config_path, data_path = out / "config.json", out / "data.json"
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if names and ".lock" not in names:
        # No run of ours is beginning here: the folder can be judged without leaving a lock in it.
        _stored_run(out, config_path)
    with locked_folder(out):
        stored = _stored_run(out, config_path)
        remove_temporaries(out)
        for name in FOLDERS:
            refuse_links(out / name)
        if fresh:
            delete_run(out)
        elif stored is not None:
            check_same(stored.identity(), config.identity(), out)
            sessions = read_provenance(out)["sessions"]
            check_prng(sessions, out)
            warn_of_changed_code(sessions)
            config = extended(stored, config)
        fingerprint = {"data": _fingerprint(data)}
        if data_path.exists():
            check_same({"data": stored_fingerprint(data_path)}, fingerprint, out)
        write_json(config_path, to_json(config))
        write_json(data_path, dict(data))
        settings = settings_hash(config.identity(), fingerprint["data"])
        _add_provenance(out, settings)
        sealed = is_sealed(read_provenance(out)["sessions"])
        yield RunStore(out, config, settings, sealed=sealed)


def _stored_run(out: Path, config_path: Path) -> RunConfig | None:
    """Return the configuration of the run in a folder; None for an empty one."""
    # What a process left that was killed while it began a run is nobody's.
    names = {path.name for path in out.iterdir() if not is_temporary(path.name)} - {".lock"}
    if not names:
        return None
    if not config_path.exists():
        raise InputError(f"{out} holds files but no run (no config.json); choose another --out")
    try:
        return read_config(config_path)
    except InputError as error:
        raise InputError(f"{out} holds no run of kdtheory: {error}") from error


def _fingerprint(data: Mapping[str, Any]) -> str:
    """Return what two runs on the same data share: what comes from files is data too."""
    parts = [str(data["sha256"])]
    for name in ("teacher_logits", "teacher_variables", "student_variables"):
        if given := data.get(name):
            prefix = "" if name == "teacher_logits" else f"{name}:"
            parts.append(prefix + str(given["sha256"]))
    return "+".join(parts)


def stored_fingerprint(path: Path) -> str:
    """Return the fingerprint of the data in a run's data.json.

    Raises:
      RunError: the file is damaged.
    """
    try:
        return _fingerprint(read_json(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error}); start over with --fresh") from error


def read_provenance(out: Path, settings: str | None = None) -> dict[str, Any]:
    """Return a run's provenance: {"sessions": [...]}, one entry for each call that worked on it.

    Args:
      out: the run's folder.
      settings: the run's hash of its settings, to be compared with that of the file.

    Raises:
      RunError: the file is damaged, or another run's.
    """
    path = out / "provenance.json"
    if not path.exists():
        return {"sessions": []}
    try:
        read = read_json(path)
        sessions, sealed = [dict(session) for session in read["sessions"]], read.get("sha256")
        for session in sessions:  # one without a digest may say anything
            dict(session.get("prng", {}))
        if sealed is not None and sealed != _sessions_digest(read["run"], sessions):
            raise ValueError("it has changed since it was written")
        if settings is not None and read.get("run", settings) != settings:
            raise ValueError(f"it is of run {read['run']}, not {settings}")
        return {"sessions": sessions}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error}); start over with --fresh") from error


def _sessions_digest(settings: str, sessions: Sequence[Any]) -> str:
    text = json.dumps([settings, sessions], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _add_provenance(out: Path, settings: str) -> None:
    sessions = [*read_provenance(out, settings)["sessions"], provenance()]
    content = {"run": settings, "sessions": sessions}
    write_json(out / "provenance.json", {**content, "sha256": _sessions_digest(settings, sessions)})
