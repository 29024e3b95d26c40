"""A teacher whose logits come from a file: matched, checked, taught from, and told apart."""

import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from kdtheory.cli import main
from kdtheory.datasets import load
from kdtheory.errors import InputError
from kdtheory.runs import RunConfig, execute
from kdtheory.runs.teacher_file import read_teacher_file
from kdtheory.statistics.stored_rows import read_rows
from kdtheory.targets import register_teacher

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES = {"train_size": 40, "validation_size": 10, "test_size": 20}
DATA = load("digits", **SIZES)


def logits_of(split, noise=1.0, d=10, seed=0):
    """Logits that are mostly right."""
    drawn = noise * np.random.default_rng(seed).standard_normal((len(split), d))
    drawn[np.arange(len(split)), split.labels] += 4
    return drawn.astype(np.float32)


TRAIN, TEST = logits_of(DATA.train), logits_of(DATA.test)


def saved(tmp_path, name="teacher.npy", **arrays):
    path = tmp_path / name
    if path.suffix == ".npy":
        np.save(path, arrays["train"])
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        safetensors.numpy.save_file(arrays, path)
    return path


@pytest.mark.parametrize("name", ["t.npy", "t.npz", "t.safetensors"])
def test_a_pipe_and_a_file_with_holes_are_not_read(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="it is no regular file"):
        read_teacher_file(tmp_path / name, DATA)
    (tmp_path / name).unlink()
    (tmp_path / name).touch()
    os.truncate(tmp_path / name, 2**43)
    with pytest.raises(InputError, match="are free; it cannot be read here"):
        read_teacher_file(tmp_path / name, DATA)


@pytest.mark.parametrize("name", ["t.npy", "t.npz", "t.safetensors"])
def test_every_format_holds_the_same(tmp_path, name):
    found = read_teacher_file(saved(tmp_path, name, train=TRAIN), DATA)
    assert found.name == name
    np.testing.assert_array_equal(found.logits[0]["train"], TRAIN)
    assert found.steps_for(100) == (100,)


def test_checkpoints_are_spread_or_have_their_steps(tmp_path):
    three = np.stack([0 * TRAIN, TRAIN / 2, TRAIN])
    spread = read_teacher_file(saved(tmp_path, train=three), DATA)
    assert len(spread.logits) == 3
    assert spread.steps_for(90) == (30, 60, 90)
    path = saved(tmp_path, "s.npz", train=three, steps=np.array([5, 7, 9]))
    assert read_teacher_file(path, DATA).steps_for(90) == (5, 7, 9)
    with pytest.raises(InputError, match="3 checkpoints for a student of 2 steps"):
        spread.steps_for(2)


def test_rows_are_matched_by_id(tmp_path):
    order = np.random.default_rng(1).permutation(len(TRAIN))
    more = np.concatenate([TRAIN[order], np.zeros((3, 10), np.float32)])
    places = DATA.train.places
    ids = np.concatenate([places[order], [10_001, 10_002, 10_003]])
    found = read_teacher_file(saved(tmp_path, "t.npz", train=more, ids=ids), DATA)
    np.testing.assert_array_equal(found.logits[0]["train"], TRAIN)
    ids[0] = 10_000
    with pytest.raises(InputError, match=r"no row for 1 of the 40 examples, such as id \d+"):
        read_teacher_file(saved(tmp_path, "t.npz", train=more, ids=ids), DATA)
    ids[0] = ids[1]
    with pytest.raises(InputError, match=r"has the id .* twice"):
        read_teacher_file(saved(tmp_path, "t.npz", train=more, ids=ids), DATA)


def test_shuffled_rows_are_refused_with_their_accuracy(tmp_path):
    shuffled = np.random.default_rng(1).permutation(TRAIN)
    with pytest.raises(InputError, match=r"right for .* of the 40 training labels \(chance: 10"):
        read_teacher_file(saved(tmp_path, train=shuffled), DATA)


def test_two_logits_of_two_classes_are_their_difference(tmp_path):
    binary = load("digits", task="even_odd", **SIZES)
    one = 2.0 * (2 * binary.train.labels - 1)[:, None] + 0.1
    two = np.concatenate([0 * one + 3, one + 3], axis=1)
    for values in (one, two):
        found = read_teacher_file(saved(tmp_path, train=values), binary)
        np.testing.assert_allclose(found.logits[0]["train"], one, rtol=1e-6)


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (softmax(TRAIN), "holds probabilities, and logits are wanted"),
        (np.where(TRAIN > 3, np.nan, TRAIN), "logits that are not finite"),
        (np.where(TRAIN > 3, np.inf, TRAIN), "logits that are not finite"),
        (TRAIN[:, :9], "9 logits an example; the task 'full' has 10"),
        (TRAIN[:39], "39 rows for the 40 examples of this run; give their ids"),
        (TRAIN[0], r"must be floating logits of shape \(n, d\)"),
        (np.ones((40, 10), np.int64), "must be floating logits"),
    ],
)  # fmt: skip
def test_what_is_no_logits_is_one_line(tmp_path, train, message):
    with pytest.raises(InputError, match=message) as caught:
        read_teacher_file(saved(tmp_path, train=train), DATA)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    for name, content, message in (
        ("a.pt", b"", r"is a pickle, .* convert it: .*numpy.save"),
        ("a.csv", b"", "must end in .npy, .npz or .safetensors"),
        ("a.npy", b"nonsense", "cannot be read as .npy"),
        ("a.npz", b"nonsense", "cannot be read as .npz"),
        ("a.safetensors", b"nonsense", "cannot be read as .safetensors"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_teacher_file(tmp_path / name, DATA)
    with pytest.raises(InputError, match="No such file"):
        read_teacher_file(tmp_path / "none.npy", DATA)
    with pytest.raises(InputError, match=r"has logits; allowed: train"):
        read_teacher_file(saved(tmp_path, "x.npz", logits=TRAIN), DATA)
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"cannot be read as \.npy"):
        read_teacher_file(tmp_path / "o.npy", DATA)


@pytest.fixture
def config(tiny, tmp_path):
    path = saved(tmp_path, "mine.npz", train=np.stack([TRAIN / 2, TRAIN]), ids=DATA.train.places)
    return tiny.replace(
        dataset="digits", arms=("labels", "offline", "online"), temperatures=(4.0,), points=2,
        teacher_logits=str(path), **SIZES,
    )  # fmt: skip


def test_a_run_teaches_from_the_file_and_trains_no_teacher(config, tmp_path):
    rows = execute(config, quiet=True)
    teachers = [row for row in rows if row["kind"] == "teacher"]
    assert [row["step"] for row in teachers] == [10, 20]
    assert {row["teacher"] for row in rows} == {"mine.npz"}
    right = np.mean(TRAIN.argmax(axis=-1) == DATA.train.labels)
    assert teachers[-1]["train_accuracy"] == pytest.approx(right)
    assert teachers[-1]["test_accuracy"] is None
    students = [row for row in rows if row["kind"] == "student" and row["final"]]
    assert {row["arm"] for row in students} == {"labels", "offline", "online"}
    assert all(row["test_fidelity"] is None and row["train_fidelity"] > 0 for row in students)
    assert all(row["ntk_similarity"] is None for row in students)
    out = Path(config.output.out)
    assert not list(out.glob("seeds/0/teacher/step-*"))
    assert "mine.npz" in (out / "data.json").read_text()
    # Again: everything is read.
    assert execute(config, quiet=True) == rows
    # Another file under the same name is another run.
    other = np.stack([TRAIN / 3, TRAIN])
    saved(tmp_path, "mine.npz", train=other, ids=DATA.train.places)
    with pytest.raises(InputError, match="holds a run of another configuration"):
        execute(config, quiet=True)


def test_one_checkpoint_has_no_online_supervision_to_measure(config, tmp_path):
    saved(tmp_path, "mine.npz", train=TRAIN)
    rows = execute(config.replace(arms=("labels",)), quiet=True)
    measured = {row["supervision"] for row in rows if row["kind"] == "complexity"}
    assert measured == {"random_labels", "labels", "offline"}


def test_test_logits_give_test_accuracy_and_fidelity(config, tmp_path):
    saved(tmp_path, "mine.npz", train=np.stack([TRAIN] * 2), test=np.stack([TEST] * 2))
    rows = execute(config.replace(arms=("labels",)), quiet=True)
    right = np.mean(TEST.argmax(axis=-1) == DATA.test.labels)
    assert [r["test_accuracy"] for r in rows if r["kind"] == "teacher"] == pytest.approx(
        [right] * 2
    )
    assert all(r["test_fidelity"] is not None for r in rows if r["kind"] == "student")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cutout": 2}, "leave --augment, --cutout and --mixup out"),
        ({"assistant": "mlp8x1"}, "--similarity-size and --certify need the teacher's network"),
        ({"teacher_stop": 0.5}, "--teacher-stop is for a teacher that is trained"),
        ({"teachers": "t"}, "--teachers is for a teacher that is trained"),
    ],
)
def test_settings_of_a_trained_teacher_do_not_go_with_a_file(config, changes, message):
    with pytest.raises(InputError, match=message):
        config.replace(**changes)


def test_what_the_file_lacks_is_said_before_anything_is_trained(config, tmp_path):
    with pytest.raises(InputError, match="no logits of the test split"):
        execute(config.replace(ntk_split="test"), quiet=True)
    saved(tmp_path, "mine.npz", train=TRAIN)
    with pytest.raises(InputError, match="has one checkpoint, of which online would be the same"):
        execute(config, quiet=True)
    assert not (Path(config.output.out) / "config.json").exists()


@pytest.mark.parametrize("name", ["scikit_learn_teacher", "pytorch_teacher"])
def test_the_examples_make_a_teacher_that_a_run_takes(tmp_path, monkeypatch, name):
    if name == "pytorch_teacher":
        pytest.importorskip("torch")
    words = [f"--{key.replace('_', '-')}={value}" for key, value in SIZES.items()]
    main(["data", "export", "--dataset=digits", *words, f"--out={tmp_path / 'digits'}"])
    out = tmp_path / "teacher.npz"
    monkeypatch.setattr(sys, "argv", [name, str(tmp_path / "digits"), str(out)])
    runpy.run_path(str(EXAMPLES / f"{name}.py"))
    found = read_teacher_file(out, DATA)
    right = found.logits[0]["train"].argmax(axis=-1) == DATA.train.labels
    assert right.mean() > 0.9
    assert found.logits[0]["test"].shape == (20, 10)


def test_a_function_of_a_file_for_import_is_asked_once_and_teaches(tmp_path, capsys):
    code = tmp_path / "mine.py"
    code.write_text(
        "import numpy as np\n"
        "from kdtheory.targets import register_teacher\n"
        "asked = []\n"
        "@register_teacher('mine')\n"
        "def teach(images):\n"
        "    asked.append((images.dtype, images.shape))\n"
        "    assert images.dtype == np.uint8, images.dtype\n"
        "    flat = images.reshape(len(images), -1).astype(float)\n"
        "    return np.stack([-flat[:, :32].sum(1), flat[:, :32].sum(1)], axis=1) / 100\n"
    )
    out = tmp_path / "run"
    words = ["run", "--import", str(code), "--dataset", "digits", "--task", "even_odd",
             "--teacher-function", "mine", "--student", "mlp8x1", "--train-size", "40",
             "--validation-size", "10", "--test-size", "20", "--batch-size", "20", "--epochs", "2",
             "--arms", "labels", "offline", "--temperatures", "1", "--kernel", "none", "--seeds",
             "1", "--points", "2", "--out", str(out)]  # fmt: skip
    main(words)
    module = next(m for name, m in sys.modules.items() if name.endswith("_mine"))
    assert sum(shape[0] for _, shape in module.asked) == 40 + 10 + 20
    assert "teacher (mine)" in capsys.readouterr().out
    data = json.loads((out / "data.json").read_text())
    assert data["teacher_logits"]["function"] == "mine"
    rows = [row["train_loss"] for row in read_rows(out).rows if "train_loss" in row]
    main(words)  # the same function goes on where it was
    # Without augmentation its logits are looked up: there is nothing to keep.
    main([*words[:-1], str(tmp_path / "kept"), "--teacher-cache"])
    kept = read_rows(tmp_path / "kept").rows
    assert [row["train_loss"] for row in kept if "train_loss" in row] == rows
    assert rows
    assert not (tmp_path / "kept" / "views").exists()
    with pytest.raises(SystemExit):
        main([*words, "--augment"])
    assert "--teacher-function: its logits are of the images as they are" in capsys.readouterr().err


def test_another_function_under_the_same_name_is_another_run(tmp_path):
    settings = {
        "dataset": "digits", **SIZES, "teacher_function": "drawn", "student": "mlp8x1",
        "arms": ("offline",), "temperatures": (1.0,), "kernel": "none", "seeds": 1, "points": 2,
        "epochs": 1, "batch_size": 20, "out": str(tmp_path / "run"),
    }  # fmt: skip
    register_teacher("drawn")(lambda x: x.reshape(len(x), -1)[:, :10])
    with pytest.raises(InputError, match="must return floating logits"):
        execute(RunConfig.of(**settings), quiet=True)
    register_teacher("drawn")(lambda x: x.reshape(len(x), -1)[:, 20:30] + 0.5)
    execute(RunConfig.of(**settings), quiet=True)
    register_teacher("drawn")(lambda x: x.reshape(len(x), -1)[:, 20:30] + 1.5)
    with pytest.raises(InputError, match="holds a run of another"):
        execute(RunConfig.of(**settings), quiet=True)
    with pytest.raises(InputError, match="unknown teacher function 'nobody'; known: "):
        execute(RunConfig.of(**{**settings, "teacher_function": "nobody"}), quiet=True)
    with pytest.raises(InputError, match="give --teacher-logits or --teacher-function, not both"):
        RunConfig.of(teacher_function="drawn", teacher_logits="x.npy")
