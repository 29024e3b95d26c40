"""The result file: every figure with its provenance, written as soon as it is measured."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kdtheory.errors import RunError
from kdtheory.files import write_json

Row = dict[str, Any]


class OutOfTime(Exception):  # noqa: N818
    """The minutes are over; what was measured is kept."""


class Clock:
    """The minutes of this call."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self._ends = time.monotonic() + 60 * minutes

    def left(self) -> float:
        """Return the seconds that are left; below 0 when they are over."""
        return self._ends - time.monotonic()

    def check(self, *_: Any) -> None:
        """Raise `OutOfTime` when the minutes are over."""
        if self.left() <= 0:
            raise OutOfTime


class Result:
    """Rows by step and name, in OUT/result.json.

    Each call of the program adds its provenance (versions, device, commit, command) to "sessions";
    a row says which session measured it.
    """

    def __init__(
        self, folder: Path, config: Row, provenance: Row, clock: Clock, tell: Callable[[str], None]
    ) -> None:
        """Open the file, or begin it.

        Raises:
          RunError: it is damaged, or of other settings or another device.
        """
        self.folder, self.clock, self._tell = folder, clock, tell
        self._path = folder / "result.json"
        self.content: Row = {"config": config, "sessions": [], "steps": {}}
        if self._path.exists():
            try:
                self.content = json.loads(self._path.read_text())
                earlier = self.content["config"], self.content["sessions"][-1]["devices"]
            except (OSError, ValueError, LookupError, TypeError) as error:
                raise RunError(
                    f"{self._path} cannot be read ({error}); --fresh starts over"
                ) from error
            for what, before, now in zip(
                ("other settings", "another device"),
                earlier,
                (config, provenance["devices"]),
                strict=True,
            ):
                if before != now:
                    raise RunError(
                        f"{self._path} is of {what} ({_difference(before, now)}); give another "
                        "--out, or --fresh to start over"
                    )
        self.content["sessions"].append(provenance)

    def rows(self, step: str) -> list[Row]:
        """Return what is measured of a step."""
        return list(self.content["steps"].get(step, {}).values())

    def get(self, step: str, name: str) -> Row | None:
        """Return a row, or None where it is not measured yet."""
        found: Row | None = self.content["steps"].get(step, {}).get(name)
        return found

    def measure(self, step: str, name: str, work: Callable[[], Row]) -> Row:
        """Return a row: the stored one, or what `work` measures now.

        Raises:
          OutOfTime: it is not stored, and the minutes are over.
        """
        known = self.get(step, name)
        if known is not None:
            return known
        self.clock.check()
        began = time.monotonic()
        row = {"name": name, **work(), "session": len(self.content["sessions"]) - 1}
        row["took_seconds"] = round(time.monotonic() - began, 3)
        self.content["steps"].setdefault(step, {})[name] = row
        self.write()
        self._tell(f"{step}: {name}: {spoken(row)}")
        return row

    def write(self) -> None:
        """Write the file, so that it is either the old one or the whole new one."""
        write_json(self._path, self.content)


def start_over(folder: Path) -> None:
    """Delete what an earlier call left, and nothing else."""
    (folder / "result.json").unlink(missing_ok=True)
    for part in ("tiles", "distillation"):
        shutil.rmtree(folder / part, ignore_errors=True)


def spoken(row: Row) -> str:
    """Return a row's figures in a line.

    >>> spoken({"name": "n = 16", "seconds": 0.12345, "n": 16, "session": 0, "took_seconds": 1.0})
    'seconds 0.123, n 16'
    """
    parts = []
    for name, value in row.items():
        if name in ("name", "session", "took_seconds") or isinstance(value, list | dict):
            continue
        shown = f"{value:.3g}" if isinstance(value, float) else str(value)
        parts.append(f"{name.replace('_', ' ')} {shown}")
    return ", ".join(parts)


def _difference(before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        return "; ".join(f"{name} {before.get(name)} there, {now.get(name)} here" for name in names)
    return f"{before} there, {now} here"
