"""The literature's methods as arms of a run: trained, measured, resumed, refused."""

import numpy as np
import pytest

from kdtheory.arms import LABELS
from kdtheory.errors import InputError
from kdtheory.files import write_json
from kdtheory.methods.logit_standardisation import standardise
from kdtheory.methods.registry import METHODS
from kdtheory.rows import supervision_of
from kdtheory.runs import execute
from kdtheory.runs.config import to_json
from kdtheory.runs.loading import load_dataset
from kdtheory.runs.stored_variables import checkpoint_variables

#: Of these, css needs a convolutional student.
NAMES = tuple(name for name in METHODS if name != "css")
ARMS = ("labels", "offline", *NAMES)


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
    for name in NAMES:
        method, row = METHODS[name], final(rows, name)
        assert row["temperature"] == (4.0 if method.route is not None else method.temperature)
        assert row["train_loss"] > 0
        assert any(s.name == name for s in complexities(rows, name))
    # Another loss or another teacher: no two students are the same.
    ends = [final(rows, name)["train_kl"] for name in ("offline", *NAMES)]
    assert len(set(ends)) == len(ends)


@pytest.mark.slow
def test_what_is_shown_is_what_is_measured(rows):
    measured = {name: complexities(rows, name) for name in NAMES}
    for name in ("dkd", "dist", "sskd"):  # the same targets, trained on by another loss
        by_name = {s.name: value for s, value in measured[name].items()}
        assert by_name[name] == pytest.approx(by_name["offline"], rel=1e-9)
    by_name = {s.name: value for s, value in measured["lskd"].items()}
    assert by_name["lskd"] != pytest.approx(by_name["offline"], rel=1e-3)
    by_name = {s.name: value for s, value in measured["crd"].items()}
    assert by_name["crd"] == by_name["labels"]
    by_name = {s.name: value for s, value in measured["dml"].items()}
    assert by_name["dml"] != pytest.approx(by_name["offline"], rel=1e-3)


@pytest.mark.slow
def test_routes_say_their_schedule(rows):
    for name in NAMES:
        method, schedule = METHODS[name], final(rows, name).get("schedule")
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


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"arms": ("dml",), "mixup": 0.2}, "arm dml needs images that are not mixed"),
        ({"arms": ("css",)}, "arm css: it sets corners of the map .* MLP has no layer"),
        ({"arms": ("crd",), "teacher_logits": "t.npz"}, "arm crd: it needs the teacher as a netw"),
        ({"arms": ("sskd",), "teacher_logits": "t.npz"}, "arm sskd: it needs the teacher as a n"),
        ({"arms": ("css",), "student": "resnet8", "student_variables": "s.npz"},
         "arm css trains a network of its own: leave --student-variables out"),
    ],
)  # fmt: skip
def test_methods_with_variables_refuse_unsuitable_pairs_in_one_line(tiny, changes, line):
    with pytest.raises(InputError, match=line) as refused:
        load_dataset(tiny.replace(**changes))
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_broken_run_of_each_kind_ends_the_same(rows, tiny, tiny_anywhere, tmp_path):
    """A peer, a bank, a stage before: what a student's training needs beside it is stored."""
    few = tiny.replace(arms=("dml", "crd", "sskd"), temperatures=(4.0,), points=2, together="arms")
    execute(few, quiet=True)
    for name in ("dml-tau1", "crd", "sskd-tau4"):
        (tmp_path / "run" / "seeds" / "0" / name / "rows-00000016.jsonl").unlink()
    again = execute(few, quiet=True)
    for name in ("dml", "crd", "sskd"):  # others' company and measuring again change nothing
        found, alone = ({**final(each, name), "settings": None} for each in (again, rows))
        assert found == alone


@pytest.mark.slow
def test_css_is_measured_on_its_own_network(tiny):
    config = tiny.replace(
        arms=("labels", "css"), temperatures=(4.0,), points=2, dataset="digits", train_size=64,
        validation_size=16, test_size=16, student="lenet5x1", tune=(0.01, 0.03), batch_size=16,
    )  # fmt: skip
    rows = execute(config, quiet=True)
    css, labels = final(rows, "css"), final(rows, "labels")
    assert css["temperature"] == 3.0
    assert css["train_loss"] > 0
    # Another network has another kernel, so other complexities of the same targets.
    of_labels = [complexities(rows, arm) for arm in ("labels", "css")]
    assert of_labels[0][LABELS] != pytest.approx(of_labels[1][LABELS], rel=1e-3)
    assert any(s.name == "css" for s in of_labels[1])
    assert labels["ntk_similarity"] != css["ntk_similarity"]


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


def test_a_checkpoint_of_a_network_that_a_method_made_is_refused_in_one_line(tiny, tmp_path):
    """No model's name makes it: of what its checkpoints are the command has to say."""
    write_json(tmp_path / "config.json", to_json(tiny))
    for name in ("css-tau3", "css-tau3-rate0.1"):
        folder = tmp_path / "seeds" / "0" / name / "step-00000016"
        folder.mkdir(parents=True)
        with pytest.raises(InputError, match=r"of the network that css makes .* no --model name"):
            checkpoint_variables(folder, {})
