"""The literature's methods as arms of a run: trained, measured, resumed, refused."""

import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.methods.logit_standardisation import standardise
from kdtheory.methods.registry import METHODS
from kdtheory.rows import supervision_of
from kdtheory.runs import execute

ARMS = ("labels", "offline", *METHODS)


@pytest.fixture(scope="module")
def rows(tiny_anywhere, tmp_path_factory):
    out = tmp_path_factory.mktemp("methods") / "run"
    config = tiny_anywhere.replace(arms=ARMS, temperatures=(4.0,), points=2, out=str(out))
    return execute(config, quiet=True)


def final(rows, arm):
    (row,) = [r for r in rows if r["kind"] == "student" and r["final"] and r["arm"] == arm]
    return row


def complexities(rows, arm):
    return {
        supervision_of(row): row["complexity"]
        for row in rows
        if row["kind"] == "complexity" and row["final"] and row["arm"] == arm
    }


@pytest.mark.slow
def test_every_method_is_trained_and_its_own_supervision_is_measured(rows):
    for name, method in METHODS.items():
        row = final(rows, name)
        assert row["temperature"] == (method.temperature or 4.0)
        assert row["train_loss"] > 0
        assert any(s.name == name for s in complexities(rows, name))
    # Another loss or another teacher: no two students are the same.
    ends = [final(rows, name)["train_kl"] for name in ("offline", *METHODS)]
    assert len(set(ends)) == len(ends)


@pytest.mark.slow
def test_what_is_shown_is_what_is_measured(rows):
    measured = {name: complexities(rows, name) for name in METHODS}
    for name in ("dkd", "dist"):  # the same targets, trained on by another loss
        by_name = {s.name: value for s, value in measured[name].items()}
        assert by_name[name] == pytest.approx(by_name["offline"], rel=1e-9)
    by_name = {s.name: value for s, value in measured["lskd"].items()}
    assert by_name["lskd"] != pytest.approx(by_name["offline"], rel=1e-3)


@pytest.mark.slow
def test_routes_say_their_schedule(rows):
    for name, method in METHODS.items():
        schedule = final(rows, name).get("schedule")
        if method.route is None:
            assert schedule is None
        else:
            assert schedule is not None
            assert schedule[-1] == 16


@pytest.mark.slow
def test_a_method_added_to_a_run_leaves_its_arms_and_resumes_to_the_same(rows, tiny):
    few = tiny.replace(arms=("offline",), temperatures=(4.0,), points=2)
    before = execute(few, quiet=True)
    both = execute(few.replace(arms=("dkd",)), quiet=True)
    assert [row for row in both if row["arm" if "arm" in row else "kind"] == "offline"] == [
        row for row in before if row["arm" if "arm" in row else "kind"] == "offline"
    ]
    assert final(both, "dkd")["train_loss"] == final(rows, "dkd")["train_loss"]


def test_unsuitable_pairs_are_one_line(tiny):
    with pytest.raises(InputError, match=r"arm lskd needs a teacher; at least 3 classes"):
        execute(tiny.replace(arms=("lskd",), task="first_half"), quiet=True)
    with pytest.raises(InputError, match=r"arm rco needs .* it has 1 \(raise"):
        execute(tiny.replace(arms=("rco",), teacher_checkpoints=1), quiet=True)


def test_lskd_shows_shift_and_scale_free_logits():
    logits = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    moved = METHODS["lskd"].shown(3 * logits + 2)
    np.testing.assert_allclose(moved, standardise(logits), rtol=1e-4)


def test_the_online_teacher_may_end_before_its_student(tiny):
    config = tiny.replace(arms=("online",), temperatures=(4.0,), points=2, online_until=0.5)
    row = final(execute(config, quiet=True), "online")
    # 16 updates: four checkpoints over the first eight, the last one to the end.
    assert row["schedule"] == [2, 4, 6, 16]
    with pytest.raises(InputError, match=r"online_until must lie in \(0, 1\]"):
        tiny.replace(online_until=0.0)
