"""What a run tells while it works, when it is stopped, and when it goes on."""

import io
import json
import shutil
from pathlib import Path

import polars
import pytest
from rich.console import Console

from kdtheory.cli import main
from kdtheory.commands.sweep import failure_note
from kdtheory.errors import InputError
from kdtheory.report import read_rows
from kdtheory.runs import RunConfig, execute, execution, progress, runner, seed
from kdtheory.runs.listing import find_runs
from kdtheory.runs.progress import RunProgress
from kdtheory.runs.sweep import Outcome
from kdtheory.training import OptimizerConfig


class Clock:
    """Time that passes when the test says so."""

    now = 100.0

    def monotonic(self):
        return self.now


def test_a_file_gets_a_line_a_minute(capsys, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    with RunProgress(batch_size=32) as shown:
        shown.network("seed 0: teacher net", 400, folder="0-teacher", epoch_steps=40)
        for step in range(1, 151):
            clock.now += 1.0
            shown.step(step, 0.5)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == [
        "teacher net: epoch 1.5 of 10, loss 0.500, 32 images/s, 6 min left of its training",
        "teacher net: epoch 3.0 of 10, loss 0.500, 32 images/s, 5 min left of its training",
    ]


def test_eighty_columns_keep_step_time_and_bar():
    with RunProgress(quiet=True) as shown:
        name = "seed 12: student lenet5x8, online-tau4, which has a long name"
        shown.network(name, 1200, folder="x")
        shown.step(345, 0.25)
        text = io.StringIO()
        Console(file=text, width=80).print(shown._bars.make_tasks_table(shown._bars.tasks))
    (line,) = [line for line in text.getvalue().splitlines() if line.strip()]
    assert "345/1200" in line
    assert "0:00:0" in line
    assert "━" in line
    assert line.startswith("seed 12: stu")


def test_resuming_says_from_where(capsys):
    with RunProgress() as shown:
        shown.network("seed 0: teacher net", 1200, folder="x")
        shown.resumed(1100)
    assert capsys.readouterr().err == "seed 0: teacher net: goes on from step 1,100\n"


def test_an_interrupted_run_has_the_table_of_its_finished_seeds(tiny, monkeypatch, capsys):
    config = tiny.replace(
        seeds=3, arms=("labels",), epochs=1, teacher_checkpoints=1, points=2, kernel="none"
    )
    original = runner.Runner.student

    def student(self, seed, *arguments, **settings):
        if seed.number == 2:
            raise KeyboardInterrupt
        return original(self, seed, *arguments, **settings)

    monkeypatch.setattr(runner.Runner, "student", student)
    with pytest.raises(KeyboardInterrupt):
        execute(config)
    told = capsys.readouterr().err
    assert "3 seeds, 6 networks" in told
    assert "Ctrl-C stops it" in told
    assert "PARTIAL: 2 of 3 seeds are done" in told
    out = Path(config.output.out)
    assert {row["seed"] for row in read_rows(out).rows} == {0, 1}
    assert "PARTIAL: 2 of 3 seeds" in (out / "report.html").read_text()
    (found,) = find_runs([out])
    assert (found.state, found.seeds) == ("interrupted", "2 of 3")
    assert failure_note(Outcome(out.name, "a full disk", None), out.parent) == (
        "FAILED: run (its finished seeds are in the table): a full disk"
    )


def test_students_that_train_together_leave_the_table_of_the_arms_that_are_done(
    tiny, monkeypatch, capsys
):
    config = tiny.replace(
        seeds=2, arms=("labels", "online"), temperatures=(4.0,), epochs=1, teacher_checkpoints=1,
        points=2, kernel="none", together="seeds",
    )  # fmt: skip
    original = runner.Runner.student

    def student(self, seed, arm, *arguments, **settings):
        if arm.name == "online" and seed.number == 1:
            raise KeyboardInterrupt
        return original(self, seed, arm, *arguments, **settings)

    monkeypatch.setattr(runner.Runner, "student", student)
    with pytest.raises(KeyboardInterrupt):
        execute(config)
    assert "PARTIAL: 0 of 2 seeds are done" in capsys.readouterr().err
    out = Path(config.output.out)
    done = {(row["seed"], row["arm"]) for row in read_rows(out).rows if row["kind"] == "student"}
    assert done == {(0, "labels"), (1, "labels"), (0, "online")}
    assert "PARTIAL: 0 of 2 seeds" in (out / "report.html").read_text()
    table = polars.read_csv(out / "table.csv")
    seeds = dict(table.select("arm", "seeds").iter_rows())
    assert seeds == {"teacher": 2, "labels": 2, "online": 1}


def test_a_training_that_failed_is_told_of_and_marked(tiny, capsys):
    config = tiny.replace(
        arms=("labels",), epochs=2, teacher_checkpoints=1, points=2, kernel="none",
        student_optimizer=OptimizerConfig(learning_rate=1e-9),
    )  # fmt: skip
    rows = execute(config)
    (last,) = [row for row in rows if row["kind"] == "student" and row["final"]]
    assert last["failure"]
    assert f"NOT TRAINED: student on labels, seed 0: {last['failure']}" in capsys.readouterr().err
    out = Path(config.output.out)
    assert read_rows(out).rows == rows
    assert last["failure"] in (out / "report.html").read_text()
    assert execute(config, quiet=True) == rows  # read, and judged again


def test_a_renamed_run_goes_on_where_it_lies(finished_once, tmp_path, monkeypatch):
    moved = tmp_path / "moved"
    shutil.copytree(finished_once, moved)
    old = tmp_path / "old"
    stored = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**stored, "out": str(old)}))
    monkeypatch.setattr(execution, "write_run", lambda *_, **__: None)
    main(["run", "--config", str(moved / "config.json")])
    assert not old.exists()
    assert json.loads((moved / "config.json").read_text())["out"] == str(moved)


def test_a_table_is_written_though_its_reader_goes(finished_once, tmp_path, monkeypatch):
    def gone(*arguments):
        raise BrokenPipeError

    monkeypatch.setattr("kdtheory.report.print_results", gone)
    monkeypatch.setattr("kdtheory.cli.os.dup2", lambda *_: None)
    main(["table", str(finished_once), "--out", str(tmp_path / "table")])
    assert (tmp_path / "table" / "report.html").exists()


def test_without_kernels_none_is_computed_and_one_teacher_teaches_all_seeds(tiny, monkeypatch):
    def kernel(*arguments, **settings):
        raise AssertionError("a kernel was computed")

    monkeypatch.setattr(seed, "measured_kernel", kernel)
    monkeypatch.setattr(seed, "gram", kernel)
    monkeypatch.setattr(execution, "write_run", lambda *_, **__: None)
    config = tiny.replace(
        seeds=2, arms=("labels", "offline"), temperatures=(4.0,), kernel="none", one_teacher=True,
        points=2, accuracy_points=5, ntk_size=10_000,
    )  # fmt: skip
    rows = execute(config, quiet=True)
    assert {row["kind"] for row in rows} == {"teacher", "student"}
    students = [row for row in rows if row["kind"] == "student"]
    assert len(students) == 2 * 2 * 5
    assert {row["epoch"] for row in students} == {0, 1, 2, 3, 4}
    assert all(row["test_accuracy"] is not None for row in students)
    assert {row["seed"] for row in rows if row["kind"] == "teacher"} == {0}
    out = Path(config.output.out)
    assert [path.parent.name for path in out.glob("seeds/*/teacher")] == ["0"]
    assert execute(config, quiet=True) == rows


def test_what_needs_a_kernel_says_so():
    for settings in ({"arms": ("matched",)}, {"bounds": True}, {"similarity_size": 8}):
        with pytest.raises(InputError, match=r"needs a kernel; choose --kernel full or trace"):
            RunConfig.of(kernel="none", **settings)
