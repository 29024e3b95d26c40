"""Rows of a point: damaged ones are noticed and made again, another's are refused."""

import json
import os

import pytest

from kdtheory.digests import Owner
from kdtheory.errors import RunError
from kdtheory.report import read_rows
from kdtheory.runs.unit import Unit
from kdtheory.statistics.stored_rows import write_rows_file

NAMES = {"run": "s77b66b4", "seed": 0, "network": "teacher"}
ROWS = [
    {
        "kind": "teacher", "dataset": "digits", "task": "full", "teacher": "resnet8",
        "student": "lenet5x1", "settings": "s77b66b4", "seed": 0, "step": 4, "epoch": epoch,
        "final": True, "train_loss": 0.123, "train_accuracy": 1.0, "validation_accuracy": None,
        "test_accuracy": 0.5,
    }
    for epoch in (1, 2)
]  # fmt: skip


@pytest.fixture
def unit(tmp_path):
    unit = Unit(tmp_path, Owner(names=NAMES))
    unit.write_rows(4, ROWS)
    return unit


def path_of(unit):
    return unit.folder / "rows-00000004.jsonl"


def test_what_was_stored_is_read(unit):
    assert unit.rows(4) == ROWS
    assert unit.rows(8) is None


DAMAGE = {
    "digit": lambda text: text.replace("0.5}", "0.7}"),
    "percent": lambda text: text.replace("0.5}", "5.0}"),
    "emptied": lambda text: "",
    "last line": lambda text: "\n".join(text.splitlines()[:-1]) + "\n",
    "all rows": lambda text: text.splitlines()[0] + "\n",
    "seal": lambda text: "\n".join(text.splitlines()[1:]) + "\n",
    "key": lambda text: text.replace("test_accuracy", "test_acuracy"),
    "half": lambda text: text[: len(text) // 2],
    "zeros": lambda text: "\0" * len(text),
    "deep": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_told_and_the_point_is_missing(unit, name):
    path = path_of(unit)
    path.write_text(DAMAGE[name](path.read_text()))
    with pytest.warns(UserWarning, match=r"rows-00000004.jsonl is damaged \(.*made again"):
        assert unit.rows(4) is None


@pytest.mark.parametrize(
    ("name", "value"), [("run", "s2"), ("seed", 1), ("network", "labels"), ("step", 8)]
)
def test_anothers_rows_are_refused(unit, tmp_path, name, value):
    own = Unit(tmp_path, Owner(names={**NAMES, name: value} if name != "step" else NAMES))
    step = value if name == "step" else 4
    if name == "step":
        path_of(unit).rename(tmp_path / "rows-00000008.jsonl")
    with pytest.raises(RunError, match=rf"is another's \(it is of {name} .*, not {value}"):
        own.rows(step)


@pytest.mark.parametrize(("field", "value"), [("settings", "s2"), ("seed", 1), ("step", 8)])
def test_old_rows_of_another_run_are_refused_by_what_they_say(unit, tmp_path, field, value):
    rows = [{**row, field: value} for row in ROWS]
    path_of(unit).write_text("".join(json.dumps(row) + "\n" for row in rows))
    old = Unit(tmp_path, Owner(names=NAMES, sealed=False))
    with pytest.raises(RunError, match=f"is another's \\({field}"):
        old.rows(4)


def test_rows_of_versions_before_seals_are_read(unit, tmp_path):
    path_of(unit).write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert Unit(tmp_path, Owner(names=NAMES, sealed=False)).rows(4) == ROWS


def test_a_pipe_is_not_waited_for(unit):
    path_of(unit).unlink()
    os.mkfifo(path_of(unit))
    with pytest.raises(RunError, match="no regular file"):
        unit.rows(4)


@pytest.mark.parametrize("name", ["digit", "last line", "key", "half"])
def test_gathered_rows_that_changed_are_refused(tmp_path, name):
    path = tmp_path / "rows.jsonl"
    write_rows_file(path, [ROWS[0], {**ROWS[0], "seed": 1}])
    assert len(read_rows(tmp_path).rows) == 2
    path.write_text(DAMAGE[name](path.read_text()))
    with pytest.raises(RunError, match=r"rows\.jsonl has changed since it was written"):
        read_rows(tmp_path)
