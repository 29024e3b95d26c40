import fcntl
import json
import shutil
import threading
import time
from pathlib import Path

import polars
import pytest

from kdtheory.cli import main
from kdtheory.errors import InputError, RunError
from kdtheory.files import FolderBusyError
from kdtheory.report import read_rows
from kdtheory.runs import runner
from kdtheory.runs.config import to_json
from kdtheory.runs.jobs import launch
from kdtheory.runs.launcher import Launcher
from kdtheory.runs.listing import find_runs
from kdtheory.runs.store import open_store
from kdtheory.runs.sweep import Case, expand, read_sweep, write_sweep


def base_of(config, **changes):
    """A run's settings as a sweep's base: all but where it lies."""
    settings = to_json(config.replace(arms=("labels",), epochs=2, **changes))
    del settings["out"]
    return settings


@pytest.fixture
def sweep_file(tiny, tmp_path):
    def write(**sections):
        path = tmp_path / "sweep.json"
        path.write_text(json.dumps({"base": base_of(tiny), **sections}))
        return path

    return write


def test_the_grid_has_every_combination_and_cases_follow():
    found = expand(
        {
            "base": {"epochs": 7},
            "grid": {"student": ["mlp8x1", "mlp4x1"], "student_optimizer.learning_rate": [0.1]},
            "cases": [{"name": "big", "teacher": "resnet20"}, {"seeds": 1}],
        },
        Path("out"),
    )
    assert [case.name for case in found] == [
        "student=mlp8x1,student_optimizer.learning_rate=0.1",
        "student=mlp4x1,student_optimizer.learning_rate=0.1",
        "big",
        "case1",
    ]
    assert {case.config.training.epochs for case in found} == {7}
    assert found[1].config.distillation.student == "mlp4x1"
    assert found[1].config.training.student_optimizer.learning_rate == 0.1
    assert found[2].config.output.out == "out/big"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bass": {}}, "unknown section in sweep: 'bass'"),
        ({"grid": {"epochs": 3}}, "grid.epochs must be a list of values, got 3"),
        ({"grid": {"epochz": [3]}}, "unknown setting in sweep: 'epochz'"),
        ({"base": {"out": "x"}}, "out is not a setting of a sweep"),
        ({"cases": [{"name": "a"}, {"name": "a"}]}, "two runs have the name a"),
        ({"base": []}, "base must be a table of settings"),
        ({"grid": {"epochs.x": [1]}, "base": {"epochs": 1}}, "epochs.x is no nested setting"),
    ],
)
def test_a_wrong_sweep_is_one_line(values, message):
    with pytest.raises(InputError, match=message):
        expand(values, Path("out"))


def test_toml_is_read(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text('[base]\ntask = "odd_even"\n[grid]\nseeds = [1, 2]\n')
    assert [case.config.distillation.seeds for case in read_sweep(path, tmp_path)] == [1, 2]
    path.write_text("[base\n")
    with pytest.raises(InputError, match="is not TOML"):
        read_sweep(path, tmp_path)
    with pytest.raises(InputError, match="No such file"):
        read_sweep(tmp_path / "missing.toml", tmp_path)


def test_the_command_runs_all_and_names_the_one_that_fails(sweep_file, tmp_path, capsys):
    out = tmp_path / "out"
    # Twenty images cannot be drawn into batches of 64: that run fails, the other does not.
    path = sweep_file(cases=[{"name": "good"}, {"name": "bad", "batch_size": 64}])
    with pytest.raises(SystemExit) as end:
        main(["sweep", str(path), "--out", str(out)])
    assert end.value.code == 1
    printed = capsys.readouterr()
    assert "[1/2] good: done" in printed.err
    assert "error: bad: batch size must lie between 1 and the 32" in printed.err
    assert "1 of 2 runs failed" in printed.err
    assert (out / "report.html").exists()
    assert set(json.loads((out / "sweep.json").read_text())) == {"good", "bad"}

    main(["runs", str(tmp_path), "--json"])
    states = {
        Path(run["folder"]).name: run
        for run in map(json.loads, capsys.readouterr().out.splitlines())
    }
    assert states["good"]["state"] == "complete"
    assert set(states["good"]["accuracies"]) == {"teacher", "labels"}
    assert "bad" not in states  # it failed before it began
    assert "batch size" in json.loads((out / "failures.json").read_text())["bad"]["error"]
    main(["runs", str(tmp_path)])
    assert "complete" in capsys.readouterr().out


def test_the_finished_seeds_of_a_run_that_fails_are_in_table_and_page(
    sweep_file, tmp_path, capsys, monkeypatch
):
    original = runner.Runner.student

    def student(self, seed, *arguments, **settings):
        if self.config.training.epochs == 1 and seed.number == 2:
            raise RunError("student on labels, seed 2: the disk is full")
        return original(self, seed, *arguments, **settings)

    monkeypatch.setattr(runner.Runner, "student", student)
    common = {"seeds": 3, "kernel": "none", "points": 2, "teacher_checkpoints": 1}
    cases = [{"name": "good", **common}, {"name": "bad", "epochs": 1, **common}]
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as end:
        main(["sweep", str(sweep_file(cases=cases)), "--out", str(out)])
    assert end.value.code == 1
    note = (
        "FAILED: bad (its finished seeds are in the table): student on labels, seed 2: the disk is "
        "full"
    )
    assert note in capsys.readouterr().out
    assert note in (out / "report.html").read_text()
    table = polars.read_csv(out / "table.csv").filter(arm="labels")
    assert sorted(table["seeds"]) == [2, 3]
    settings = {row["settings"] for row in read_rows(out / "bad").rows}
    assert table.filter(seeds=2)["settings"].to_list() == list(settings)


def test_a_sweep_file_of_another_encoding(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_bytes(b"\xef\xbb\xbf[grid]\nseeds = [1, 2]\n")
    assert len(read_sweep(path, tmp_path)) == 2
    path.write_bytes('[base]\nteachers = "Zürich"\n'.encode("latin-1"))
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_sweep(path, tmp_path)


def untold(outcome, done, total):
    pass


@pytest.mark.slow
def test_jobs_of_this_machine_and_a_second_sweep_of_the_same_folder(tiny, tmp_path):
    submitit = pytest.importorskip("submitit")
    assert submitit
    config = tiny.replace(arms=("labels",), epochs=2, out=str(tmp_path / "o" / "a"))
    cases = [Case(name="a", config=config)]
    results = []
    # Both want the same run at the same time: one does it, the other waits and reads it.
    both = [
        threading.Thread(
            target=lambda: results.append(
                launch(cases, tmp_path / "o", Launcher(launcher="local"), untold)
            )
        )
        for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert [outcome.error for found in results for outcome in found] == [None, None]
    (run,) = find_runs([tmp_path])
    assert (run.state, run.seeds) == ("complete", "1 of 1")
    sessions = json.loads((tmp_path / "o" / "a" / "provenance.json").read_text())["sessions"]
    assert len(sessions) == 2


def test_a_run_that_begins_elsewhere_is_no_foreign_folder(tiny):
    # As another process leaves it between its lock and its config.json.
    out = Path(tiny.output.out)
    out.mkdir(parents=True)
    (out / ".config.json.1.tmp").touch()
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FolderBusyError), open_store(tiny, data={"sha256": "0"}):
            pass


def test_a_folder_of_other_files_is_refused_and_left_as_it_was(tiny):
    out = Path(tiny.output.out)
    out.mkdir(parents=True)
    (out / "thesis.tex").touch()
    with (
        pytest.raises(InputError, match="holds files but no run"),
        open_store(tiny, data={"sha256": "0"}),
    ):
        pass
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_a_run_that_another_process_works_on_is_waited_for(finished_once, tmp_path):
    finished_once = shutil.copytree(finished_once, tmp_path / "finished")
    config = to_json(read(finished_once).replace(out=str(finished_once)))
    case = Case(name="x", config=read(finished_once).replace(out=config["out"]))
    ended = []
    with (finished_once / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert find_runs([finished_once])[0].state == "running"
        thread = threading.Thread(
            target=lambda: ended.extend(launch([case], tmp_path, Launcher(), untold))
        )
        thread.start()
        time.sleep(1)
        assert not ended
        fcntl.flock(lock, fcntl.LOCK_UN)
    thread.join()
    assert [outcome.error for outcome in ended] == [None]


def read(folder):
    from kdtheory.runs.config_file import read_config

    return read_config(folder / "config.json")


def test_runs_says_what_is_damaged(finished_once, tmp_path, capsys):
    run = tmp_path / "deep" / "run"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{")
    (run / "data.json").write_text("{}")
    (run / "more.json").symlink_to(tmp_path / "nowhere")
    (summary,) = find_runs([tmp_path])
    assert summary.state == "damaged"
    assert "is not JSON" in summary.what
    with pytest.raises(InputError, match="is no folder"):
        find_runs([tmp_path / "missing"])
    (tmp_path / "empty").mkdir()
    main(["runs", str(tmp_path / "empty")])
    assert "no runs in" in capsys.readouterr().out


def test_what_lies_in_a_sweeps_folder_is_not_trusted(tmp_path):
    cases = expand({"cases": [{"name": "a"}]}, tmp_path)
    for content in ("[1]", '"x"', "3", "{", '{"cases": 1}', '{"../b": {}}'):
        (tmp_path / "sweep.json").write_text(content)
        with pytest.raises(InputError, match=r"sweep\.json is damaged"):
            write_sweep(cases, tmp_path)
    (tmp_path / "sweep.json").write_text('{"base": {}, "grid": {"seeds": [1]}}')
    with pytest.raises(InputError, match=r"sweep\.json: wrong value type"):
        write_sweep(cases, tmp_path)
    (tmp_path / "a").symlink_to(tmp_path.parent)
    with pytest.raises(InputError, match="a is a symbolic link"):
        write_sweep(cases, tmp_path)


def test_a_description_in_the_place_of_the_sweeps_own_file_is_refused(tmp_path, capsys):
    file = tmp_path / "sweep.json"
    file.write_text('{"cases": [{"name": "a"}]}')
    with pytest.raises(SystemExit):
        main(["sweep", str(file), "--out", str(tmp_path)])
    assert "give the description elsewhere" in capsys.readouterr().err
    assert file.read_text() == '{"cases": [{"name": "a"}]}'


def test_bad_launchers_and_workers_are_one_line(capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "sweep.toml", "--launcher", "slurmm"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "slurmm" in line
    assert "inline,local,slurm" in line.replace(" ", "").replace("'", "")
    with pytest.raises(InputError, match="workers must be at least 1"):
        Launcher(workers=0)
