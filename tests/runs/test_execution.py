"""The whole line at its smallest: rows, files, resumption bit for bit, a folder that is taken."""

import json
import shutil
from pathlib import Path

import pytest

from kdtheory.errors import InputError, RunError
from kdtheory.report import read_rows
from kdtheory.runs import execute
from kdtheory.runs.demo import run_demo
from kdtheory.runs.store import open_store
from kdtheory.training import Checkpoints, OptimizerConfig, trainer

#: A run of two epochs on one temperature, measured at its ends.
SHORT = {"epochs": 2, "teacher_checkpoints": 2, "points": 2, "temperatures": (4.0,)}


def without_times(out):
    return (Path(out) / "rows.jsonl").read_text()


@pytest.fixture
def finished(finished_once, tiny):
    """A run that has ended, in a folder of the test's own."""
    shutil.copytree(finished_once, tiny.output.out)
    return tiny


def test_the_whole_line(finished_once, finished_rows):
    out, rows = finished_once, finished_rows
    for name in (
        "table.md", "table.csv", "table.tex", "table.html", "rows.jsonl", "config.json",
        "provenance.json", "complexity.png", "accuracy.png", "report.html",
    ):  # fmt: skip
        assert (out / name).stat().st_size > 0, name
    assert [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()] == rows
    assert sorted(map(json.dumps, read_rows(out).rows)) == sorted(map(json.dumps, rows))

    kinds = [row["kind"] for row in rows]
    arms, points = 6, 3
    assert kinds.count("teacher") == 4
    assert kinds.count("student") == arms * points
    # random labels, labels, offline and online at two temperatures; the self arm has its own too.
    assert kinds.count("complexity") == arms * points * 6 + points
    final = [row for row in rows if row["kind"] == "student" and row["final"]]
    assert {row["step"] for row in final} == {16}
    assert all(0 <= row["test_fidelity"] <= 1 for row in final)

    session = json.loads((out / "provenance.json").read_text())["sessions"][0]
    assert session["versions"]["jax"]
    assert session["devices"]


def test_online_meets_offline_at_the_end(finished):
    rows = read_rows(Path(finished.output.out)).rows
    values = {
        (row["supervision"], row["supervision_temperature"]): row["complexity"]
        for row in rows
        if row["kind"] == "complexity" and row["final"] and row["arm"] == "labels"
    }
    for temperature in (1.0, 4.0):
        assert values["online", temperature] == pytest.approx(values["offline", temperature])
    assert values["online", 1.0] != values["labels", None]


def test_every_arm_starts_from_the_same_student(finished):
    rows = read_rows(Path(finished.output.out)).rows
    first = [row for row in rows if row["kind"] == "student" and row["step"] == 0]
    assert len({row["test_kl"] for row in first}) == 1


def test_a_second_call_reuses_everything(finished, monkeypatch):
    before = without_times(finished.output.out)
    monkeypatch.setattr(trainer, "run", None)  # nothing may be trained
    execute(finished, quiet=True)
    assert without_times(finished.output.out) == before
    sessions = json.loads((Path(finished.output.out) / "provenance.json").read_text())["sessions"]
    assert len(sessions) == 2


class Killed(BaseException):
    """Stands for SIGKILL inside this process; the slow suite sends the real one."""


# Among the teacher's states, at one of its points, among a student's.
@pytest.mark.parametrize("at", [pytest.param(at, marks=pytest.mark.slow) for at in (2, 5, 27)])
def test_a_killed_run_resumes_to_the_same_rows(tiny, tmp_path, monkeypatch, at):
    tiny = tiny.replace(arms=("labels", "online"), temperatures=(4.0,))
    execute(tiny, quiet=True)
    again = tiny.replace(out=str(tmp_path / "killed"), save_seconds=0.0)
    written = 0
    original = Checkpoints.save

    def save(self, step, state):
        nonlocal written
        written += 1
        if written == at:
            raise Killed
        original(self, step, state)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save)
        with pytest.raises(Killed):
            execute(again, quiet=True)
    execute(again, quiet=True)
    assert without_times(again.output.out) == without_times(tiny.output.out)


def test_lost_rows_are_measured_again_to_the_same_values(finished):
    before = without_times(finished.output.out)
    for path in Path(finished.output.out).glob("seeds/0/online-tau4/rows-*.jsonl"):
        path.unlink()
    execute(finished, quiet=True)
    assert without_times(finished.output.out) == before


def test_more_seeds_and_arms_extend_a_run_and_fewer_lose_nothing(tiny):
    few = tiny.replace(arms=("labels",), **SHORT)
    execute(few, quiet=True)
    rows = execute(few.replace(arms=("online",), seeds=2), quiet=True)
    assert {row["seed"] for row in rows} == {0, 1}
    assert {row["arm"] for row in rows if row["kind"] == "student"} == {"labels", "online"}
    assert execute(few, quiet=True) == rows


def test_fewer_arms_and_self_without_labels(tiny):
    rows = execute(tiny.replace(arms=("self",), **SHORT), quiet=True)
    assert {row["arm"] for row in rows if row["kind"] == "student"} == {"self"}


def test_another_configuration_is_refused_and_nothing_is_lost(finished):
    before = without_times(finished.output.out)
    other = finished.replace(ridge=0.5, epochs=2, arms=("labels",))
    with pytest.raises(InputError, match=r"epochs: 4 there, 2 asked; ridge: 0.01 there, 0.5"):
        execute(other, quiet=True)
    assert without_times(finished.output.out) == before
    execute(other, fresh=True, quiet=True)
    assert without_times(finished.output.out) != before


def test_a_folder_of_something_else_is_refused(tiny):
    out = Path(tiny.output.out)
    out.mkdir(parents=True)
    (out / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="no run"):
        execute(tiny, fresh=True, quiet=True)
    # Not even a config.json of somebody else's makes it ours to delete.
    (out / "config.json").write_text('{"name": "my project"}')
    with pytest.raises(InputError, match="no run of kdtheory"):
        execute(tiny, fresh=True, quiet=True)
    assert (out / "thesis.tex").read_text() == "precious"


def test_fresh_deletes_only_what_a_run_writes(finished):
    note = Path(finished.output.out) / "my_notes.txt"
    note.write_text("precious")
    execute(finished.replace(arms=("labels",)), fresh=True, quiet=True)
    assert note.read_text() == "precious"
    assert not (Path(finished.output.out) / "seeds" / "0" / "self-tau1").exists()


def test_other_data_under_the_same_name_are_refused(finished):
    path = Path(finished.output.out) / "data.json"
    path.write_text(path.read_text().replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(InputError, match="data: "):
        execute(finished, quiet=True)


def test_a_demo_does_not_overwrite_a_run(finished):
    before = without_times(finished.output.out)
    with pytest.raises(InputError, match="not a demo"):
        run_demo(Path(finished.output.out), smoke=True, fresh=True, quiet=True)
    assert without_times(finished.output.out) == before


def test_a_network_that_overflows_in_its_last_update_is_named(tiny):
    config = tiny.replace(epochs=1, batch_size=32, points=2, teacher_checkpoints=1,
        teacher_optimizer=OptimizerConfig(learning_rate=3e38, warmup=0.0),
    )  # fmt: skip
    with pytest.raises(RunError, match=r"teacher, seed 0, step 1: .*not finite"):
        execute(config, quiet=True)


def test_a_full_disk_is_one_line(tiny, monkeypatch):
    def full(*arguments, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("orbax.checkpoint.StandardCheckpointer.save", full)
    with pytest.raises(RunError, match=r"cannot write a checkpoint .*No space left"):
        execute(tiny, quiet=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_form": "logits", "alpha": 0.5, "centre_targets": True, "residual_targets": True},
        {"kernel": "trace", "validation_size": 0, "ntk_dtype": "float32"},
        pytest.param({"task": "odd_even", "kernel": "full"}, marks=pytest.mark.slow),
    ],
)
def test_the_less_usual_settings(tiny, settings):
    config = tiny.replace(arms=("labels", "offline"), **{**SHORT, **settings})
    rows = execute(config, quiet=True)
    final = [row for row in rows if row["kind"] == "student" and row["final"]]
    assert len(final) == 2
    assert (final[0]["validation_accuracy"] is None) == (config.data.validation_size == 0)


def test_two_processes_do_not_share_a_folder(tiny):
    with (
        open_store(tiny, data={"sha256": "0"}),
        pytest.raises(RunError, match="another process"),
    ):
        execute(tiny, quiet=True)


def test_ntk_size_above_the_data(tiny):
    with pytest.raises(InputError, match="ntk_size must be at most the 32 training examples"):
        execute(tiny.replace(ntk_size=33), quiet=True)
    assert not Path(tiny.output.out).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": "trace"}, "the trace kernel of 16 rows needs 6KiB.* --kernel full"),
        ({"ridge": 0.0}, "the full kernel of .* with a --ridge above 0"),
        ({"task": "first_half", "bounds": True}, "leave out --bounds"),
    ],
)
def test_what_needs_a_factor_is_refused_before_anything_is_trained(
    tiny, monkeypatch, changes, message
):
    monkeypatch.setattr("kdtheory.measure.spec.available", lambda: 1000)
    monkeypatch.setattr("kdtheory.memory.available", lambda: 1000)
    with pytest.raises(InputError, match=message):
        execute(tiny.replace(**changes), quiet=True)
    assert not Path(tiny.output.out).exists()


def test_a_kernel_beyond_the_memory_is_bounded(tiny, monkeypatch):
    """Every complexity is an interval that holds the value, and no row shows a number for it."""
    short = tiny.replace(arms=("labels",), temperatures=(1.0,), epochs=2, points=2)
    out = f"{short.output.out}-bounded"
    exact = execute(short, quiet=True)
    monkeypatch.setattr("kdtheory.measure.spec.available", lambda: 1000)
    bounded = execute(short.replace(out=out), quiet=True)
    assert read_rows(out).rows
    pairs = [pair for pair in zip(exact, bounded, strict=True) if pair[0]["kind"] == "complexity"]
    assert pairs
    for one, other in pairs:
        assert other["complexity"] is other["adjusted_complexity"] is None
        for name in ("complexity", "adjusted_complexity"):
            assert other[f"{name}_lower"] <= one[name] * (1 + 1e-9)
            assert other[f"{name}_upper"] >= one[name] * (1 - 1e-9)
        for name in ("margin", "ridge", "trace", "target_rms"):
            assert other[name] == pytest.approx(one[name])
    # Not even the (n, n) kernels that are compared fit.
    assert {row["ntk_similarity"] for row in bounded if row["kind"] == "student"} == {None}


def test_damaged_rows_are_named_and_made_again(finished):
    before = without_times(finished.output.out)
    path = next(Path(finished.output.out).glob("seeds/0/labels/rows-*.jsonl"))
    path.write_text("{")
    with pytest.warns(UserWarning, match=rf"{path.name} is damaged .* made again"):
        execute(finished, quiet=True)
    assert without_times(finished.output.out) == before


def test_a_damaged_checkpoint_is_named_and_can_be_made_again(finished):
    before = without_times(finished.output.out)
    next(Path(finished.output.out).glob("seeds/0/labels/rows-*.jsonl")).unlink()
    folder = next(Path(finished.output.out).glob("seeds/0/teacher/step-*"))
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(RunError, match=folder.name):
        execute(finished, quiet=True)
    shutil.rmtree(folder)
    execute(finished, quiet=True)
    assert without_times(finished.output.out) == before
