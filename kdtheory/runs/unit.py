"""One network of a run on disk: whose it is, and its rows, a sealed file a point."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from kdtheory.digests import Owner, checked, seal
from kdtheory.errors import InputError, RunError
from kdtheory.files import parse_json, read_bytes, write_whole
from kdtheory.rows import Row, checked_row, json_lines


class Unit:
    """One network of a run: a folder with its checkpoints and its rows, a file a point.

    A file of rows begins with a line that seals the others.
    """

    def __init__(self, folder: Path, owner: Owner) -> None:
        self.folder = folder
        #: Whose the folder is: "run", "seed", "network".
        self.owner = owner

    def _rows_path(self, step: int) -> Path:
        return self.folder / f"rows-{step:08d}.jsonl"

    def write_rows(self, step: int, rows: Sequence[Row]) -> None:
        """Store a point's rows."""
        text = json_lines(rows)
        sealed = seal({"rows": _bytes(text.encode())}, self.owner.at(step=step))
        write_whole(self._rows_path(step), f"{sealed}\n{text}")

    def rows(self, step: int) -> list[Row] | None:
        """Return a point's rows; None where none are stored, or what is stored is damaged.

        Raises:
          RunError: the file cannot be read, or holds another point's or another run's.

        Warns:
          UserWarning: the file is damaged; the point is to be measured again.
        """
        path = self._rows_path(step)
        try:
            content = read_bytes(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror}") from error
        first, _, rest = content.partition(b"\n")
        sealed, body = (first, rest) if b'"sha256"' in first else (None, content)
        _, wrong = checked({"rows": _bytes(body)}, sealed, self.owner.at(step=step))
        reason = None if wrong is None else wrong.reason
        rows: list[Row] = []
        if reason is None:
            try:
                rows = [checked_row(parse_json(line)) for line in body.decode().splitlines()]
                reason = None if rows else "it holds no rows"
            except (ValueError, InputError) as error:
                reason = str(error)
        if wrong is None and reason is None:
            foreign = self._not_ours(rows, step)
        else:
            foreign = wrong.reason if wrong is not None and wrong.foreign else None
        if foreign is not None:
            raise RunError(
                f"{path} is another's ({foreign}); remove it to measure that point again"
            )
        if reason is not None:
            warnings.warn(f"{path} is damaged ({reason}); it is made again", stacklevel=2)
            return None
        return rows

    def all_rows(self, steps: Sequence[int]) -> list[Row] | None:
        """Return the rows of several points, in their order; None unless all are stored."""
        found: list[Row] = []
        for step in steps:
            rows = self.rows(step)
            if rows is None:
                return None
            found += rows
        return found

    def _not_ours(self, rows: Sequence[Row], step: int) -> str | None:
        """Return what the rows themselves say that is not so of this point; None if nothing."""
        names = self.owner.names
        for row in rows:
            said = cast("Mapping[str, Any]", row)
            for field, ours in (
                ("settings", names["run"]), ("seed", names["seed"]), ("step", step),
            ):  # fmt: skip
                if said[field] != ours:
                    return f"{field} {json.dumps(said[field])}, not {json.dumps(ours)}"
        return None


def _bytes(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)
