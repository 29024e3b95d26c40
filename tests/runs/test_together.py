"""Students that train together are the students that train alone."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from kdtheory.errors import RunError
from kdtheory.runs import execute
from kdtheory.runs.progress import RunProgress

#: What identifies a measurement; the rest of its row are numbers.
KEYS = ("kind", "seed", "arm", "temperature", "step", "supervision", "supervision_temperature")


def same_rows(found, expected, rtol):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            if name == "settings":
                continue
            if isinstance(value, float) and name not in KEYS:
                np.testing.assert_allclose(
                    ours[name], value, rtol=rtol, atol=rtol, err_msg=f"{name} of {theirs}"
                )
            else:
                assert ours[name] == value, name


@pytest.fixture
def two_seeds(tiny):
    return tiny.replace(seeds=2, arms=("labels", "online", "self"), epochs=2, points=2, ntk_size=8,
        teacher_checkpoints=2,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("together", ["seeds", "arms"])
def test_stacked_students_are_those_alone(two_seeds, together, tmp_path):
    alone = execute(two_seeds, quiet=True)
    config = two_seeds.replace(together=together, out=str(tmp_path / together))
    same_rows(execute(config, quiet=True), alone, rtol=2e-3)
    assert not list((tmp_path / together / "together").iterdir())
    assert alone[0]["settings"] != execute(config, quiet=True)[0]["settings"]


@pytest.mark.slow
def test_interleaved_students_are_those_alone_bit_for_bit(tiny, tmp_path):
    config = tiny.replace(
        seeds=2, arms=("labels", "offline"), temperatures=(4.0,), epochs=1, points=2,
        student="lenet5x1", ntk_size=8,
    )  # fmt: skip
    alone = execute(config, quiet=True)
    config = config.replace(together="seeds", out=str(tmp_path / "together"))
    same_rows(execute(config, quiet=True), alone, rtol=0)


class StoppedError(Exception):
    """What ends a run in these tests."""


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 6])
def test_a_run_that_is_ended_goes_on_with_the_same_numbers(two_seeds, tmp_path, monkeypatch, at):
    config = two_seeds.replace(
        together="seeds",
        save_seconds=0.0,
        arms=("labels", "online"),
        temperatures=(4.0,),
    )
    unbroken = execute(config.replace(out=str(tmp_path / "unbroken")), quiet=True)
    show = RunProgress.network

    def stopping(self, name, steps, *, together=1, **where):
        show(self, name, steps, together=together, **where)
        if together > 1:
            monkeypatch.setattr(RunProgress, "step", stop)

    def stop(self, step, loss):
        if step == at:
            raise StoppedError

    with monkeypatch.context() as patched:
        patched.setattr(RunProgress, "network", stopping)
        with pytest.raises(StoppedError):
            execute(config, quiet=True)
        patched.undo()
    monkeypatch.undo()
    assert list(Path(config.output.out, "together").iterdir())
    assert execute(config, quiet=True) == unbroken


@pytest.mark.slow
def test_more_seeds_and_arms_extend_a_run(two_seeds):
    config = two_seeds.replace(together="seeds")
    first = execute(config, quiet=True)
    longer = execute(
        config.replace(seeds=4, arms=("labels", "offline", "online", "self")),
        quiet=True,
    )
    kept = [r for r in longer if r["seed"] < 2 and r.get("arm") != "offline"]
    assert kept == first
    assert {row["seed"] for row in longer} == {0, 1, 2, 3}


@pytest.mark.slow
def test_a_student_that_began_alone_goes_on_alone(two_seeds, tmp_path):
    config = two_seeds.replace(together="seeds")
    expected = execute(config.replace(seeds=1), quiet=True)  # one: alone
    shutil.rmtree(Path(config.output.out, "seeds", "0", "self-tau1"))
    Path(config.output.out, "seeds", "0", "labels", "rows-00000000.jsonl").unlink()
    rows = execute(config, quiet=True)
    assert [row for row in rows if row["seed"] == 0 and row.get("arm") != "self"] == [
        row for row in expected if row.get("arm") != "self"
    ]


def test_a_diverging_student_is_named(two_seeds):
    optimizer = dataclasses.replace(two_seeds.training.student_optimizer, learning_rate=1e30)
    config = two_seeds.replace(together="seeds", arms=("labels",), student_optimizer=optimizer)
    with pytest.raises(RunError, match=r"student on labels, seed \d: the loss is .*last good"):
        execute(config, quiet=True)


def test_damaged_members(two_seeds):
    path = Path(two_seeds.output.out, "together", "0-labels-and-1-more", "members.json")
    config = two_seeds.replace(together="seeds", seeds=1)
    execute(config, quiet=True)
    path.parent.mkdir(parents=True)
    path.write_text("no")
    with pytest.raises(RunError, match=r"remove .* to train its students again"):
        execute(config.replace(seeds=2), quiet=True)


@pytest.mark.slow
def test_fresh_deletes_a_group_that_was_begun(two_seeds):
    config = two_seeds.replace(together="seeds", arms=("labels",))
    execute(config, quiet=True)
    left = Path(config.output.out, "together", "left")
    left.mkdir(parents=True)
    execute(config, quiet=True, fresh=True)
    assert not left.exists()
