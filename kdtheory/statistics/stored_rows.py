"""Read the rows that runs wrote: one JSON object a line, checked field by field.

Everything in `kdtheory.report` is made from these rows alone, so that a table can be made again, or
made out of several runs, without the runs' checkpoints.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from kdtheory.errors import InputError, RunError
from kdtheory.file_digests import check_digest, write_with_digest
from kdtheory.files import parse_json, read_bytes
from kdtheory.rows import GROUP_FIELDS, Row, checked_row, json_lines

#: Name of the rows' file in a run folder.
ROWS_FILE = "rows.jsonl"

# What tells one training from another, and one measurement in it from another.
_TRAINING_KEY = (*GROUP_FIELDS, "kind", "seed", "arm", "temperature")
_POINT_KEY = (
    "step", "alpha", "supervision", "supervision_temperature", "checkpoint_step", "learning_rate",
    "n",
)  # fmt: skip


class RowsRead(NamedTuple):
    """The rows of one or several runs."""

    rows: list[Row]
    """The checked rows, in the order of the files."""
    notes: list[str]
    """One line for each thing that a reader should know (a dropped line, repeated rows)."""


def read_rows(*sources: Path | str) -> RowsRead:
    """Read and check the rows of one or several runs.

    A source is a rows file or a run folder that holds `rows.jsonl`. A last line that a kill cut off
    (no line end, not a whole JSON object) is dropped with a note. When a file holds the same
    measurement twice, as a resumed run does, the later row counts, and a note says how many. A file
    with a digest beside it (`write_rows_file`) is compared with it.

    Raises:
      InputError: no source is given, or one does not exist or has no rows.
      RunError: a file that is not what its digest says, a damaged line (named by file and
        number), or two sources that hold the same training (data set, task, teacher, student,
        settings, arm, seed) with different measurements, so that they cannot stand in one table.

    >>> import tempfile
    >>> row = dict(kind="teacher", dataset="digits", task="ten", teacher="resnet8",
    ...            student="lenet5x1", settings="3f2a90bc", seed=0, step=9, epoch=1.0,
    ...            final=True, train_loss=0.1, train_accuracy=1.0, validation_accuracy=None,
    ...            test_accuracy=0.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rows.jsonl"
    ...     _ = path.write_text(json_lines([row]) + '{"kind": "stu')
    ...     read = read_rows(folder)
    >>> len(read.rows), read.notes[0].split(": ")[1]
    (1, 'the last line (2) was cut off and is left out')
    """
    if not sources:
        raise InputError("no run given; name at least one run folder or rows.jsonl file")
    notes: list[str] = []
    merged: dict[tuple[Any, ...], list[Row]] = {}
    origin: dict[tuple[Any, ...], Path] = {}
    for source in sources:
        path = Path(source) / ROWS_FILE if Path(source).is_dir() else Path(source)
        for training, rows in _trainings(path, _read_file(path, notes), notes).items():
            if training in merged and merged[training] != rows:
                raise RunError(
                    f"{origin[training]} and {path} differ in what they hold for"
                    f" {_describe(rows[0])}; two such runs cannot stand in one table"
                )
            merged[training] = rows
            origin[training] = path
    return RowsRead(rows=[row for rows in merged.values() for row in rows], notes=notes)


def _trainings(
    path: Path, rows: Sequence[Row], notes: list[str]
) -> dict[tuple[Any, ...], list[Row]]:
    """Return one file's rows by the training that they measure, each measurement once."""
    measured: dict[tuple[Any, ...], dict[tuple[Any, ...], Row]] = {}
    for row in rows:
        fields = cast("Mapping[str, Any]", row)
        training = tuple(fields.get(field) for field in _TRAINING_KEY)
        point = tuple(fields.get(field) for field in _POINT_KEY)
        measured.setdefault(training, {})[point] = row
    again = len(rows) - sum(len(points) for points in measured.values())
    if again:
        counted = "1 measurement is" if again == 1 else f"{again} measurements are"
        notes.append(f"{path}: {counted} there again; the later one counts")
    for points in measured.values():
        last = {row["step"] for row in points.values() if row["final"]}
        if len(last) > 1:
            row = next(iter(points.values()))
            listed = ", ".join(map(str, sorted(last)))
            raise RunError(f"{path}: several last steps ({listed}) for {_describe(row)}")
    return {training: list(points.values()) for training, points in measured.items()}


def _read_file(path: Path, notes: list[str]) -> Sequence[Row]:
    """Return the rows of one file; add a note when its last line is cut off."""
    try:
        content = read_bytes(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    check_digest(path, io.BytesIO(content))
    lines = content.split(b"\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line, infinite=True)
        except ValueError:
            # Every finished row ends in a line end: only a row that was being written lacks it.
            if number == len(lines):
                notes.append(f"{path}: the last line ({number}) was cut off and is left out")
                continue
            raise RunError(f"{path}, line {number}: damaged, not a JSON object") from None
        try:
            row = checked_row(row)
        except InputError as error:
            raise RunError(f"{path}, line {number}: {error}") from None
        rows.append(row)
    if not rows:
        raise InputError(f"{path} holds no rows; run the experiment first")
    return rows


def write_rows_file(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as JSON lines, with their digest in a file beside them.

    Raises:
      RunError: a file cannot be written.
    """
    write_with_digest(path, json_lines(rows))


def _describe(row: Row) -> str:
    """Name the training that a row measures, in a message."""
    fields = cast("Mapping[str, Any]", row)
    named = (field for field in _TRAINING_KEY if fields.get(field) is not None)
    return ", ".join(f"{field} {fields[field]}" for field in named)
