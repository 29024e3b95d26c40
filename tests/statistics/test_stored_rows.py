import json
from pathlib import Path

import pytest

from kdtheory.errors import InputError, RunError
from kdtheory.report.run_table import run_table
from kdtheory.rows import FIELDS, checked_row
from kdtheory.statistics.groups import arms_in
from kdtheory.statistics.stored_rows import read_rows


def write(path: Path, rows, end="\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)) + end)
    return path


def test_what_a_run_wrote_is_read_back(tmp_path, make_rows):
    rows = make_rows(seeds=(0, 1), points=2)
    write(tmp_path / "run" / "rows.jsonl", rows)
    for source in (tmp_path / "run", str(tmp_path / "run" / "rows.jsonl")):
        read = read_rows(source)
        assert sorted(map(str, read.rows)) == sorted(map(str, rows))
        assert read.notes == []


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_last_line_cut_off_by_a_kill_is_dropped_with_a_note(tmp_path, make_rows, cut):
    rows = make_rows(seeds=(0,), points=2)
    path = write(tmp_path / "rows.jsonl", rows)
    path.write_text(path.read_text() + json.dumps(rows[-1])[:cut])
    read = read_rows(path)
    assert len(read.rows) == len(rows)
    assert len(read.notes) == 1
    assert f"({len(rows) + 1}) was cut off" in read.notes[0]


def test_a_whole_last_row_without_line_end_is_kept(tmp_path, make_rows):
    rows = make_rows(seeds=(0,), points=1)
    assert len(read_rows(write(tmp_path / "rows.jsonl", rows, end="")).rows) == len(rows)


@pytest.mark.parametrize("last", [False, True])
def test_a_damaged_line_is_named(tmp_path, make_rows, last):
    lines = [json.dumps(row) for row in make_rows(seeds=(0,), points=1)]
    number = len(lines) if last else 3
    lines[number - 1] = lines[number - 1][:40]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match=rf"rows\.jsonl, line {number}: damaged"):
        read_rows(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "pupil"}, "field 'kind' is 'pupil'; allowed: teacher, student, complexity"),
        ({"seed": -1}, "field 'seed' is -1; allowed: an integer from 0 to 2^53"),
        ({"seed": True}, "field 'seed' is True"),
        ({"final": 1}, "field 'final' is 1; allowed: true or false"),
        ({"test_accuracy": 95.0}, "allowed: a number from 0 to 1 or null"),
        ({"train_loss": float("nan")}, "allowed: a finite number or null"),
        # No sum or square of what is allowed overflows.
        ({"train_loss": 1e308}, "field 'train_loss' is 1e+308; allowed: a finite number or null"),
        ({"epoch": 1e308}, "allowed: a number from 0 to 2^53"),
        ({"train_loss": 10**400}, "damaged, not a JSON object"),
        ({"dataset": ""}, "field 'dataset' is ''; allowed: a text"),
        ({"settings": None}, "field 'settings' is None; allowed: a text"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(tmp_path, make_rows, change, message):
    rows = make_rows(seeds=(0,), points=1)
    rows[0].update(change)
    with pytest.raises(RunError) as error:
        read_rows(write(tmp_path / "rows.jsonl", rows))
    assert "line 1: " in str(error.value)
    assert message in str(error.value)


def bound_row(row):
    """A row of the bound's terms, of the same run group as another row."""
    shared = ("dataset", "task", "teacher", "student", "settings", "seed")
    return {
        **{name: row[name] for name in shared},
        "kind": "bound", "step": 0, "epoch": 0, "final": False, "supervision": "online",
        "supervision_temperature": 4.0, "checkpoint_step": 40, "n": 64, "teacher_error": 0.1,
        "teacher_test_error": None, "gamma": 0.25, "margin_loss": 0.2, "complexity_term": 0.9,
        "confidence_term": 0.3, "radius": 2.5, "bound": 1.5, "delta": 0.05,
        "validity": "certificate", "squared_norm": 6.1, "trace": 640.0,
    }  # fmt: skip


def certificate_row(row):
    """A row of what is certified, of the same run group as another row."""
    return {
        **bound_row(row), "kind": "certificate", "arm": "labels", "temperature": None,
        "certificate": 0.2, "prequential_error": 0.1, "held_out_half": 0.19, "margin_bound": 1.5,
        "test_error": 0.08, "certified_test_error": 0.12, "num_test": 100, "premises": "all hold",
    }  # fmt: skip


def tuning_row(row):
    """A row of a learning rate that was tried, of the same run group as another row."""
    return {
        **bound_row(row), "kind": "tuning", "arm": "labels", "temperature": None,
        "learning_rate": 0.1, "validation_accuracy": 0.9, "chosen": True,
    }  # fmt: skip


def test_every_field_is_required_and_an_arm_must_be_known(make_rows):
    rows = make_rows(seeds=(0,), points=1)
    rows += [make(rows[0]) for make in (bound_row, certificate_row, tuning_row)]
    for kind, fields in FIELDS.items():
        row = next(row for row in rows if row["kind"] == kind)
        checked_row({**row, "extra": "left alone"})
        for field in (name for name, field in fields.items() if field.required):
            with pytest.raises(InputError, match=f"{kind} row without the field '{field}'"):
                checked_row({key: value for key, value in row.items() if key != field})
        if "arm" in fields:
            known = "labels, offline, online, matched, self"
            with pytest.raises(InputError, match=f"allowed: one of {known}"):
                checked_row({**row, "arm": "mutual"})


def test_rates_and_sample_sizes_are_above_zero(make_rows):
    row = make_rows(seeds=(0,), points=1)[0]
    for rate in (0.0, -1.0):
        with pytest.raises(InputError, match=r"'learning_rate' is .*; allowed: a number above 0"):
            checked_row({**tuning_row(row), "learning_rate": rate})
    for make in (bound_row, certificate_row):
        with pytest.raises(InputError, match=r"'n' is 0; allowed: an integer from 1"):
            checked_row({**make(row), "n": 0})


def test_the_centred_similarity_may_be_left_out_or_null_but_not_wrong(make_rows):
    row = next(row for row in make_rows(seeds=(0,), points=1) if row["kind"] == "student")
    row.pop("ntk_similarity_centred", None)
    checked_row(row)
    for value in (None, -0.25, 0):
        checked_row({**row, "ntk_similarity_centred": value})
    for value in ("high", float("nan"), True):
        with pytest.raises(
            InputError,
            match=r"field 'ntk_similarity_centred' is .*; allowed: a finite number or null",
        ):
            checked_row({**row, "ntk_similarity_centred": value})


def test_a_repeated_measurement_counts_once_and_the_later_one_wins(tmp_path, make_rows):
    rows = make_rows(seeds=(0,), points=2)
    again = {**rows[0], "test_accuracy": 0.123}
    read = read_rows(write(tmp_path / "rows.jsonl", [*rows, again]))
    assert len(read.rows) == len(rows)
    assert again in read.rows
    assert rows[0] not in read.rows
    assert "1 measurement is there again" in read.notes[0]


def test_runs_are_joined_and_a_copy_counts_once(tmp_path, make_rows):
    first, second = make_rows(seeds=(0,), points=1), make_rows(seeds=(1,), points=1)
    a = write(tmp_path / "a" / "rows.jsonl", first)
    b = write(tmp_path / "b" / "rows.jsonl", second)
    copy = write(tmp_path / "copy" / "rows.jsonl", first)
    assert len(read_rows(a, b, copy, a.parent).rows) == len(first) + len(second)


def test_two_runs_that_differ_in_one_training_are_refused(tmp_path, make_rows):
    # Another length: no step is measured by both, but seed 0 has two results.
    long = [{**row, "step": row["step"] + 7} for row in make_rows(seeds=(0,), points=2)]
    a = write(tmp_path / "a" / "rows.jsonl", make_rows(seeds=(0,), points=2))
    b = write(tmp_path / "b" / "rows.jsonl", long)
    with pytest.raises(RunError, match="cannot stand in one table"):
        read_rows(a, b)
    with pytest.raises(RunError, match="several last steps"):
        read_rows(write(tmp_path / "c.jsonl", [*make_rows(seeds=(0,), points=2), *long]))


def test_the_same_training_under_other_settings_is_another_training(tmp_path, make_rows):
    first = make_rows(seeds=(0,), points=2)
    second = [
        {**row, "step": row["step"] + 7}
        for row in make_rows(seeds=(0,), points=2, settings="04d1e6f7")
    ]
    a = write(tmp_path / "a" / "rows.jsonl", first)
    b = write(tmp_path / "b" / "rows.jsonl", second)
    read = read_rows(a, b, a)
    assert sorted(map(str, read.rows)) == sorted(map(str, [*first, *second]))
    assert read.notes == []
    both = read_rows(write(tmp_path / "both.jsonl", [*first, *second]))
    assert sorted(map(str, both.rows)) == sorted(map(str, read.rows))
    # Under one settings hash they contradict each other, and the message names it.
    c = write(tmp_path / "c.jsonl", [{**row, "settings": "3f2a90bc"} for row in second])
    with pytest.raises(RunError, match=r"settings 3f2a90bc.*cannot stand in one table"):
        read_rows(a, c)


def test_missing_and_empty_sources_are_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="no run given"):
        read_rows()
    with pytest.raises(InputError, match=r"cannot read .*rows\.jsonl: No such file"):
        read_rows(tmp_path)
    (tmp_path / "rows.jsonl").write_text("")
    with pytest.raises(InputError, match="holds no rows"):
        read_rows(tmp_path)


def test_bounds_of_several_checkpoints_are_several_measurements(tmp_path, make_rows):
    rows = make_rows(seeds=(0,), points=1)
    bounds = [{**bound_row(rows[0]), "checkpoint_step": step} for step in (40, 80)]
    read = read_rows(write(tmp_path / "rows.jsonl", [*rows, *bounds]))
    assert [row for row in read.rows if row["kind"] == "bound"] == bounds
    assert read.notes == []
    assert arms_in(read.rows) == arms_in(rows)
    assert run_table(read.rows) == run_table(rows)
