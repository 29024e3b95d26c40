"""Python of the user's own: imported by --import, so that what it registers is known by name."""

import hashlib
import importlib
import os
import sys
import traceback
import types
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kdtheory.errors import InputError
from kdtheory.files import open_regular


class OwnCode(NamedTuple):
    """A file or module that was imported into this process."""

    name: str
    """By which another process imports it: an absolute path, or a module's name."""
    path: Path
    """The file that ran."""
    sha256: str
    """Of that file."""

    @property
    def label(self) -> str:
        """What it is called in provenance and messages: the file's own name, or the module's."""
        return Path(self.name).name

    def provenance(self) -> dict[str, str]:
        """Return what a run says of it, in JSON's types."""
        return {"import": self.label, "sha256": self.sha256}


_IMPORTED: dict[str, OwnCode] = {}


def import_code(name: str) -> OwnCode:
    """Import a file or a module, once a process, and remember its digest.

    Args:
      name: a file FILE.py, beside whose own folder its imports are looked up, or a module's name,
        also one in the working directory.

    Raises:
      InputError: there is none, or it raises an exception: one line that names file, line and
        exception.

    >>> import_code("missing.py")
    Traceback (most recent call last):
    kdtheory.errors.InputError: --import missing.py: No such file or directory
    """
    is_file = name.endswith(".py") or os.sep in name
    known = str(Path(name).expanduser().resolve()) if is_file else name
    if known not in _IMPORTED:
        _IMPORTED[known] = _file(Path(known), name) if is_file else _module(name)
    return _IMPORTED[known]


def imported() -> tuple[OwnCode, ...]:
    """Return what `import_code` has imported into this process, in that order."""
    return tuple(_IMPORTED.values())


def _file(path: Path, given: str) -> OwnCode:
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise InputError(f"--import {given}: {error.strerror}") from error
    _look_in(path.parent)
    # What runs is what the digest is of, whatever becomes of the file meanwhile.
    code = OwnCode(str(path), path, hashlib.sha256(content).hexdigest())
    # Under a name that shadows no other module; dataclasses look themselves up there.
    module = types.ModuleType(f"kdtheory_import_{code.sha256[:12]}_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        _, line, why = _place(error, path)
        raise InputError(f"--import {given}, line {line}: {why}") from error
    return code


def _module(name: str) -> OwnCode:
    _look_in(Path.cwd())
    try:
        found = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name in (name, name.split(".")[0]):
            raise InputError(
                f"--import {name}: there is no such module; a file's name ends with .py"
            ) from error
        path, line, why = _place(error)
        raise InputError(f"--import {name}: {path.name}, line {line}: {why}") from error
    if not getattr(found, "__file__", None):
        raise InputError(f"--import {name} is no Python file but a folder or a built-in module")
    path = Path(str(found.__file__)).resolve()
    return OwnCode(name, path, hashlib.sha256(path.read_bytes()).hexdigest())


def _look_in(folder: Path) -> None:
    """Let imports find what lies in a folder, after all that is installed."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def place_in_own_code(error: BaseException) -> str | None:
    """Return the file, line and exception of what went wrong in imported code; None elsewhere.

    Args:
      error: an exception that was raised while code that was imported here was called.

    >>> place_in_own_code(ValueError("ours")) is None
    True
    """
    paths = [code.path for code in imported()]
    folders = [path.parent for path in paths if path.name == "__init__.py"]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path in paths or any(path.is_relative_to(folder) for folder in folders):
            _, line, why = _place(error, path)
            return f"{path.name}, line {line}: {why}"
    return None


def _place(error: BaseException, path: Path | None = None) -> tuple[Path, int | None, str]:
    """Return the file, the line and why: the last line that ran of a file, or of all."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [(frame.filename, frame.lineno) for frame in frames]
    if isinstance(error, SyntaxError) and error.filename is not None:
        places.append((error.filename, error.lineno))
    of_file = [place for place in places if path is None or Path(place[0]) == path]
    filename, line = (of_file or places)[-1]
    text = (error.msg if isinstance(error, SyntaxError) else str(error)).strip().splitlines()
    kind = "" if isinstance(error, InputError) else type(error).__name__
    why = ": ".join(part for part in (kind, text[0][:300] if text else "") if part)
    return Path(filename), line, why


def changed_code(sessions: Sequence[Any], now: Sequence[OwnCode]) -> list[str]:
    """Return one line for each file whose digest no earlier session of a run had, or that is gone.

    Args:
      sessions: the run's provenance, an entry a call; of versions before --import, without it.
      now: what this process has imported.

    >>> mine = OwnCode("/home/me/own.py", Path("/home/me/own.py"), "ab" * 32)
    >>> changed_code([{"imports": [{"import": "own.py", "sha256": "cd" * 32}]}], [mine])
    ['own.py has changed since this run began (SHA-256 cdcdcdcd then, abababab now): ...']
    """
    before: dict[str, list[str]] = {}
    for session in sessions:
        entries = session.get("imports", []) if isinstance(session, Mapping) else []
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, Mapping) and "import" in entry and "sha256" in entry:
                before.setdefault(str(entry["import"]), []).append(str(entry["sha256"]))
    lines = []
    for label, known in before.items():
        digests = [code.sha256 for code in now if code.label == label]
        if not digests:
            lines.append(f"this run began with --import {label}, which is not given now")
        elif not set(digests) & set(known):
            lines.append(
                f"{label} has changed since this run began (SHA-256 {known[0][:8]} then, "
                f"{digests[0][:8]} now): what is stored was made by the earlier file"
            )
    return lines


def warn_of_changed_code(sessions: Sequence[Any]) -> None:
    """Warn of each file that is not what a run began with.

    Warns:
      UserWarning: one line a file: see `changed_code`.
    """
    for line in changed_code(sessions, imported()):
        warnings.warn(line, stacklevel=2)
