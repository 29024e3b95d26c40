"""Read the rows that runs wrote: one JSON object a line, checked field by field.

Everything in `kdtheory.report` is made from these rows alone, so that a table can be made again, or
made out of several runs, without the runs' checkpoints.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from kdtheory.errors import InputError, RunError

#: One measurement: a JSON object with the fields that `FIELDS` lists for its kind.
Row: TypeAlias = Mapping[str, Any]

#: Name of the rows' file in a run folder.
ROWS_FILE = "rows.jsonl"

ARMS = ("labels", "offline", "online", "matched", "self")
SUPERVISIONS = ("random_labels", *ARMS)

# What a field may hold: "text"; "count", an integer of at least 0; "position", a number of at least
# 0; "flag"; "number", finite or null; "rate", a number in [0, 1] or null; "any_number", also NaN
# and infinite (a singular kernel has an infinite condition number, and the rows keep it);
# "optional_number", a number that a row may also leave out.
# `settings` is a short hash of everything that a measurement depends on except seed and arm.
_GROUP = {
    "dataset": "text",
    "task": "text",
    "teacher": "text",
    "student": "text",
    "settings": "text",
}
_POINT = {"seed": "count", "step": "count", "epoch": "position", "final": "flag"}
_TRAINING = {
    "train_loss": "number",
    "train_accuracy": "rate",
    "validation_accuracy": "rate",
    "test_accuracy": "rate",
}
_STUDENT = {"arm": "arm", "temperature": "number"}

#: kind of row -> its fields and what each may hold.
FIELDS: Mapping[str, Mapping[str, str]] = {
    "teacher": {**_GROUP, **_POINT, **_TRAINING},
    "student": {
        **_GROUP,
        **_STUDENT,
        "alpha": "number",
        **_POINT,
        **_TRAINING,
        "train_fidelity": "rate",
        "test_fidelity": "rate",
        "train_kl": "number",
        "test_kl": "number",
        "ntk_similarity": "number",
        "ntk_similarity_centred": "optional_number",
        "test_ntk_similarity": "optional_number",
        "test_ntk_similarity_centred": "optional_number",
        "margin": "number",
    },
    "complexity": {
        **_GROUP,
        **_STUDENT,
        **_POINT,
        "supervision": "supervision",
        "supervision_temperature": "number",
        "complexity": "number",
        "adjusted_complexity": "number",
        "margin": "number",
        "trace": "number",
        "ridge": "number",
        "condition": "any_number",
        "residual": "any_number",
        "target_rms": "optional_number",
        # Where only an interval is known, the two complexities are null and these are its ends.
        "complexity_lower": "optional_number",
        "complexity_upper": "optional_number",
        "adjusted_complexity_lower": "optional_number",
        "adjusted_complexity_upper": "optional_number",
    },
    # The kernel is the student's before training, the same for every arm: such a row has no arm.
    "bound": {
        **_GROUP,
        **_POINT,
        "supervision": "supervision",
        "supervision_temperature": "number",
        "checkpoint_step": "optional_number",
        "n": "count",
        "teacher_error": "rate",
        "teacher_test_error": "rate",
        "gamma": "number",
        "margin_loss": "rate",
        "complexity_term": "number",
        "confidence_term": "number",
        "radius": "number",
        "bound": "number",
        "delta": "rate",
        "validity": "text",
        "squared_norm": "number",
        "trace": "number",
    },
}

#: The fields that name a run group: rows that differ in one of them are never averaged.
GROUP_FIELDS = tuple(_GROUP)

# What tells one training from another, and one measurement in it from another.
_TRAINING_KEY = (*_GROUP, "kind", "seed", "arm", "temperature")
_POINT_KEY = ("step", "alpha", "supervision", "supervision_temperature", "checkpoint_step")

_ALLOWED = {
    "text": "a text",
    "count": "an integer of at least 0",
    "position": "a number of at least 0",
    "flag": "true or false",
    "number": "a finite number or null",
    "any_number": "a number or null",
    "optional_number": "a finite number or null, or the field left out",
    "rate": "a number from 0 to 1 or null",
    "arm": "one of " + ", ".join(ARMS),
    "supervision": "one of " + ", ".join(SUPERVISIONS),
}


class RowsRead(NamedTuple):
    """The rows of one or several runs.

    - `rows`: the checked rows, in the order of the files.
    - `notes`: one line for each thing that a reader should know (a dropped line, repeated rows).
    """

    rows: list[dict[str, Any]]
    notes: list[str]


def read_rows(*sources: Path | str) -> RowsRead:
    """Read and check the rows of one or several runs.

    A source is a rows file or a run folder that holds `rows.jsonl`. A last line that a kill cut off
    (no line end, not a whole JSON object) is dropped with a note. When a file holds the same
    measurement twice, as a resumed run does, the later row counts, and a note says how many.

    Raises:
        InputError: no source is given, or one does not exist or has no rows.
        RunError: a damaged line (named by file and number), or two sources that hold the same
            training (data set, task, teacher, student, settings, arm, seed) with different
            measurements, so that they cannot stand in one table.

    Example:
        >>> import tempfile
        >>> row = dict(kind="teacher", dataset="digits", task="ten", teacher="resnet8",
        ...            student="lenet5x1", settings="3f2a90bc", seed=0, step=9, epoch=1.0,
        ...            final=True, train_loss=0.1, train_accuracy=1.0, validation_accuracy=None,
        ...            test_accuracy=0.5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "rows.jsonl"
        ...     _ = path.write_text(json.dumps(row) + "\\n" + '{"kind": "stu')
        ...     read = read_rows(folder)
        >>> len(read.rows), read.notes[0].split(": ")[1]
        (1, 'the last line (2) was cut off and is left out')
    """
    if not sources:
        raise InputError("no run given; name at least one run folder or rows.jsonl file")
    notes: list[str] = []
    merged: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
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


def check_row(row: Any) -> None:
    """Check that one row has every field of its kind, each with a value that is allowed there.

    Raises:
        InputError: naming the first field that is missing or wrong, and what is allowed. Fields
            that are not in `FIELDS` are left alone.

    Example:
        >>> check_row({"kind": "student", "dataset": 3})
        Traceback (most recent call last):
        kdtheory.errors.InputError: field 'dataset' is 3; allowed: a text
    """
    if not isinstance(row, Mapping):
        raise InputError("not a JSON object")
    kind = row.get("kind")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise InputError(f"field 'kind' is {kind!r}; allowed: {', '.join(FIELDS)}")
    for field, holds in FIELDS[kind].items():
        if field not in row:
            if holds == "optional_number":
                continue
            raise InputError(f"a {kind} row without the field {field!r}")
        if not _is_allowed(row[field], holds):
            raise InputError(f"field {field!r} is {row[field]!r}; allowed: {_ALLOWED[holds]}")


def _trainings(
    path: Path, rows: Sequence[dict[str, Any]], notes: list[str]
) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Return one file's rows by the training that they measure, each measurement once."""
    measured: dict[tuple[Any, ...], dict[tuple[Any, ...], dict[str, Any]]] = {}
    for row in rows:
        training = tuple(row.get(field) for field in _TRAINING_KEY)
        point = tuple(row.get(field) for field in _POINT_KEY)
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


def _read_file(path: Path, notes: list[str]) -> Sequence[dict[str, Any]]:
    """Return the rows of one file; add a note when its last line is cut off."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            # Every finished row ends in a line end: only a row that was being written lacks it.
            if number == len(lines):
                notes.append(f"{path}: the last line ({number}) was cut off and is left out")
                continue
            raise RunError(f"{path}, line {number}: damaged, not a JSON object") from None
        try:
            check_row(row)
        except InputError as error:
            raise RunError(f"{path}, line {number}: {error}") from None
        rows.append(row)
    if not rows:
        raise InputError(f"{path} holds no rows; run the experiment first")
    return rows


def _is_allowed(value: Any, holds: str) -> bool:
    """Whether a value may stand in a field of that description."""
    if holds == "text":
        return isinstance(value, str) and bool(value)
    if holds == "arm":
        return value in ARMS
    if holds == "supervision":
        return value in SUPERVISIONS
    if holds == "flag":
        return isinstance(value, bool)
    if value is None:
        return holds in ("number", "optional_number", "any_number", "rate")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if holds == "count":
        return isinstance(value, int) and value >= 0
    if holds == "any_number":
        return True
    if not math.isfinite(value):
        return False
    if holds == "position":
        return value >= 0
    if holds == "rate":
        return 0 <= value <= 1
    return True  # "number", "optional_number"


def _describe(row: Row) -> str:
    """Name the training that a row measures, in a message."""
    fields = (field for field in _TRAINING_KEY if row.get(field) is not None)
    return ", ".join(f"{field} {row[field]}" for field in fields)
