"""The teacher's settings: shared, stopped, disturbed, trained on other data, thinned, assisted."""

import json
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from kdtheory import models
from kdtheory.analysis import decisions
from kdtheory.errors import InputError, RunError
from kdtheory.files import FolderBusyError, locked_folder
from kdtheory.rows import checked_row
from kdtheory.runs import RunConfig, execute, execution
from kdtheory.runs.events import Events
from kdtheory.runs.loading import load_dataset
from kdtheory.runs.network import TrainedNetwork, split_logits
from kdtheory.runs.shared_teachers import folder_name, shared_unit, training_settings
from kdtheory.runs.store import open_store
from kdtheory.runs.teacher import TeacherOfSeed, teacher_examples, teacher_trainers
from kdtheory.runs.teacher_checkpoints import thinned
from kdtheory.runs.trainers import augmentation_of
from kdtheory.training import Checkpoints, OptimizerConfig, trainer, training_data


@pytest.fixture
def quick(tiny):
    """A run whose teacher leaves checkpoints at steps 4, 8, 12 and 16."""
    return tiny.replace(arms=("offline", "online"), temperatures=(2.0,), points=2)


class Taught(NamedTuple):
    teacher: TrainedNetwork
    rows: list


def teach(config, seed=0):
    """A run's teacher without its students."""
    dataset = load_dataset(config)
    trainers = teacher_trainers(config, dataset)
    data = training_data(dataset.train, mean=dataset.mean, std=dataset.std)
    with open_store(config, data=dataset.provenance) as store:
        network, rows = TeacherOfSeed(
            seed=seed, config=config, dataset=dataset, data=data, trainers=trainers, store=store,
            events=Events(),
        ).trained({
            "dataset": config.data.dataset, "task": config.data.task,
            "teacher": config.teacher_name, "student": config.distillation.student,
            "settings": store.settings, "seed": seed,
        })  # fmt: skip
    return Taught(network, rows)


def same(one, other):
    """Whether two teachers are the same bit for bit."""
    trees = [
        (taught.teacher.trajectory.variables, taught.teacher.logits) for taught in (one, other)
    ]
    leaves = [[np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)] for tree in trees]
    return leaves[0] == leaves[1]


@pytest.fixture
def trained(monkeypatch):
    """The names of the networks that are trained, not read."""
    seen = []
    original = trainer.run

    def run(*arguments, **settings):
        seen.append(settings["name"])
        return original(*arguments, **settings)

    monkeypatch.setattr(trainer, "run", run)
    return seen


# --- shared teachers


@pytest.mark.slow
def test_the_whole_line_with_shared_teachers_and_an_assistant(
    quick, tmp_path, trained, monkeypatch
):
    monkeypatch.setattr(execution, "write_run", lambda *_, **__: None)  # its figures take seconds
    shared = quick.replace(teachers=str(tmp_path / "run" / "teachers"), assistant="mlp12x1",
        online_checkpoints=1, teacher_stop=0.5,
    )  # fmt: skip
    rows = execute(shared, quiet=True)
    assert trained == [
        "teacher, seed 0", "assistant, seed 0",
        "student on offline-tau2, seed 0", "student on online-tau2, seed 0",
    ]  # fmt: skip
    for row in rows:
        checked_row(row)
    assert {row["assistant"] for row in rows} == {"mlp12x1"}
    teachers = [row for row in rows if row["kind"] == "teacher"]
    assert [row["step"] for row in teachers] == [4, 8, 12, 16]
    assert sum(row["final"] for row in teachers) == 1
    assert "teacher_test_accuracy" in teachers[-1]
    # An online teacher of one checkpoint is the offline one.
    finals = [row for row in rows if row["kind"] == "student" and row["final"]]
    assert len(finals) == 2
    assert {**finals[0], "arm": ""} == {**finals[1], "arm": ""}
    # A finished run is read; one that starts over finds the shared networks.
    trained.clear()
    assert execute(shared, quiet=True) == rows
    assert not trained
    execute(shared.replace(arms=("offline",)), fresh=True, quiet=True)
    assert trained == ["student on offline-tau2, seed 0"]


def test_a_shared_teacher_is_trained_once_and_has_the_same_numbers(quick, tmp_path, trained):
    alone = teach(quick)
    shared = quick.replace(teachers=str(tmp_path / "teachers"))
    first = teach(shared.replace(out=str(tmp_path / "a")))
    assert same(first, alone)
    assert first.rows == alone.rows
    assert trained == ["teacher, seed 0"] * 2
    # Another student, stopped and disturbed: the teacher's own training is the same.
    other = shared.replace(
        student="mlp4x1", teacher_stop=0.5, teacher_perturbation=0.1, online_checkpoints=1,
        out=str(tmp_path / "b"),
    )  # fmt: skip
    assert [row["step"] for row in teach(other).rows] == [4, 8]
    assert len(trained) == 2
    (home,) = (tmp_path / "teachers").iterdir()
    described = json.loads((home / "teacher.json").read_text())["settings"]
    assert (described["model"], described["checkpoints"]) == ("mlp16x1", 4)
    assert not list((tmp_path / "b/seeds/0/teacher").glob("step-*"))


def test_what_a_teacher_depends_on_separates_it(quick, tmp_path):
    dataset = load_dataset(quick)

    def name(**changes):
        config = quick.replace(**changes)
        own = teacher_trainers(config, dataset)["teacher"]
        return folder_name(training_settings(config, config.distillation.teacher, own, dataset))

    own = name()
    for changes in (
        {"teacher": "mlp8x1"}, {"teacher_checkpoints": 2}, {"batch_size": 16},
        {"teacher_epochs": 3}, {"teacher_augment": True}, {"steps_per_dispatch": 2},
        {"compute_dtype": "bfloat16"}, {"teacher_data": "random_labels"},
        {"teacher_optimizer": OptimizerConfig(schedule="constant")},
        {"teacher_data": "pair_noise", "teacher_noise": 0.2},
    ):  # fmt: skip
        assert name(**changes) != own, changes
    for changes in (
        {"student": "mlp4x1"}, {"alpha": 0.5}, {"temperatures": (9.0,)}, {"ridge": 1.0},
        {"teacher_stop": 0.5}, {"teacher_perturbation": 1.0}, {"online_checkpoints": 2},
        {"teacher_epochs": quick.training.epochs}, {"teacher_augment": False}, {"data_seed": 5},
    ):  # fmt: skip
        assert name(**changes) == own, changes
    noisy = {"teacher_data": "random_labels"}
    assert name(**noisy) != name(**noisy, data_seed=5)


def test_a_taken_teacher_is_waited_for(tmp_path, monkeypatch):
    settings, waited = {"model": "mlp"}, []
    with shared_unit(tmp_path, settings, seed=0, name="teacher") as unit:
        holder = locked_folder(unit.folder)
        with pytest.raises(FolderBusyError):
            holder.__enter__()
    blocked = locked_folder(unit.folder)
    blocked.__enter__()

    def let_go(seconds):
        waited.append(seconds)
        if len(waited) > 8:
            blocked.__exit__(None, None, None)

    monkeypatch.setattr("time.sleep", let_go)
    asked = []
    with shared_unit(
        tmp_path, settings, seed=0, name="teacher", on_wait=lambda: asked.append(1)
    ) as again:
        assert again.folder == unit.folder
    assert asked == [1]


def test_folders_of_something_else(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="--teachers must name a folder"),
        shared_unit(tmp_path / "file", {}, seed=0, name="teacher"),
    ):
        pass
    with shared_unit(tmp_path, {"model": "mlp"}, seed=0, name="teacher") as unit:
        described = unit.folder.parents[1] / "teacher.json"
    for text, message in (('{"settings": {"model": "x"}}', "another teacher"), ("{", "damaged")):
        described.write_text(text)
        with (
            pytest.raises(RunError, match=message),
            shared_unit(tmp_path, {"model": "mlp"}, seed=0, name="teacher"),
        ):
            pass


class Killed(BaseException):
    """Stands for SIGKILL inside this process."""


@pytest.mark.slow
def test_a_killed_teacher_and_assistant_resume_to_the_same_numbers(quick, tmp_path, monkeypatch):
    config = quick.replace(assistant="mlp8x1", teacher_stop=0.5, teacher_perturbation=0.2,
        teacher_data="symmetric_noise", teacher_noise=0.5, save_seconds=0.0, steps_per_dispatch=2,
        teachers=str(tmp_path / "teachers"),
    )  # fmt: skip
    unbroken = teach(config)
    again = config.replace(out=str(tmp_path / "killed"), teachers=str(tmp_path / "others"))
    written, deadly = 0, (3, 17)  # among the teacher's states, then among the assistant's
    original = Checkpoints.save

    def save(self, step, state):
        nonlocal written
        written += 1
        if written in deadly:
            raise Killed
        original(self, step, state)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save)
        for _ in deadly:
            with pytest.raises(Killed):
                teach(again)
    assert (tmp_path / "others").exists()
    resumed = teach(again)
    assert same(resumed, unbroken)
    assert resumed.rows == unbroken.rows


# --- stopped, disturbed, thinned


def test_a_stopped_teacher_is_the_whole_ones_beginning(quick, tmp_path):
    whole = teach(quick)
    config = quick.replace(teacher_stop=0.6, out=str(tmp_path / "stopped"))
    stopped = teach(config)
    assert stopped.teacher.steps == (4, 8)
    assert [row["final"] for row in stopped.rows] == [False, True]
    # Another setting, whose last row is another one; the numbers are the same.
    for row, other in zip(stopped.rows, whole.rows, strict=False):
        assert {**row, "final": 0, "settings": ""} == {**other, "final": 0, "settings": ""}
    for one, other in zip(stopped.teacher.logits, whole.teacher.logits, strict=False):
        np.testing.assert_array_equal(one["train"], other["train"])
    # Nobody else wants the rest.
    assert not (Path(config.output.out) / "seeds/0/teacher/step-00000012").exists()


def test_a_disturbed_teacher(quick, tmp_path):
    plain = teach(quick).teacher
    config = quick.replace(teacher_perturbation=0.5, out=str(tmp_path / "disturbed"))
    noisy = teach(config)
    for before, after in zip(
        jax.tree.leaves(plain.trajectory.variables["params"]),
        jax.tree.leaves(noisy.teacher.trajectory.variables["params"]),
        strict=True,
    ):
        # Every checkpoint has noise of its own.
        noise = np.asarray(after - before).reshape(len(before), -1)
        assert np.abs(noise).max(axis=1).min() > 0
        assert not np.allclose(noise[0], noise[-1])
    assert not np.allclose(plain.logits[-1]["test"], noisy.teacher.logits[-1]["test"])
    # Its logits are those of the noisy parameters, also when they are read again.
    dataset = load_dataset(config)
    computed = split_logits(
        noisy.teacher.trainer, noisy.teacher.trajectory.final(), dataset, label="again"
    )
    np.testing.assert_allclose(noisy.teacher.logits[-1]["test"], computed["test"], rtol=1e-5)
    assert same(teach(config), noisy)


def test_the_online_teacher_uses_some_checkpoints(quick):
    taught = teach(quick)
    teacher = taught.teacher
    some = teacher.at(thinned(teacher.steps, 2))
    assert len(taught.rows) == 4
    assert teacher.steps == (4, 8, 12, 16)
    assert some.steps == (8, 16)
    assert [some.position(step) for step in (1, 8, 9, 99)] == [0, 0, 1, 1]
    assert some.logits[0] is teacher.logits[1]
    for all_of, thin in zip(
        jax.tree.leaves(teacher.trajectory.variables),
        jax.tree.leaves(some.trajectory.variables),
        strict=True,
    ):
        np.testing.assert_array_equal(np.asarray(all_of)[[1, 3]], thin)
    assert teacher.at(thinned(teacher.steps, None)) is teacher


def test_a_checkpoint_within_an_epoch_says_so(quick):
    config = quick.replace(teacher_checkpoints=4, epochs=2)
    taught = teach(config)
    assert taught.teacher.steps == (2, 4, 6, 8)
    assert [row["epoch"] for row in taught.rows] == [0.5, 1, 1.5, 2]


# --- other data, other augmentation, an assistant


def test_a_teacher_of_random_labels_learns_those_and_not_the_students(quick, tmp_path):
    config = quick.replace(teacher_data="random_labels", teacher_epochs=60, teacher_checkpoints=1,
        steps_per_dispatch=4,
    )  # fmt: skip
    dataset = load_dataset(config)
    own = teacher_examples(config, dataset)
    taught = teach(config)
    fitted = np.mean(decisions(taught.teacher.logits[-1]["train"]) == own.labels)
    # Its rows tell how it does on the labels that students have.
    assert fitted > 0.9
    assert taught.rows[-1]["train_accuracy"] < 0.5
    clean = config.replace(teacher_data="train", out=str(tmp_path / "clean"))
    assert teach(clean).rows[-1]["train_accuracy"] > 0.9


def test_a_teacher_of_the_validation_split_has_epochs_of_its_own(quick):
    config = quick.replace(teacher_data="validation", validation_size=16)
    taught = teach(config)
    assert taught.teacher.steps == (2, 4, 6, 8)
    assert taught.rows[-1]["validation_accuracy"] is not None
    assert len(taught.teacher.logits[-1]["train"]) == 32


def test_a_teacher_with_augmentation_of_its_own(quick, tmp_path):
    plain = teach(quick)
    config = quick.replace(teacher_augment=True, out=str(tmp_path / "augmented"))
    assert not same(teach(config), plain)
    dataset = load_dataset(quick)
    both = quick.replace(augment=True)
    assert augmentation_of(both, dataset, teacher=True) is not None
    only_students = both.replace(teacher_augment=False)
    assert augmentation_of(only_students, dataset, teacher=True) is None
    assert augmentation_of(only_students, dataset) is not None


@pytest.mark.slow
def test_an_assistant_is_distilled_from_the_teacher(quick, tmp_path):
    config = quick.replace(assistant="mlp12x1", alpha=0.5)
    plain, assisted = teach(quick), teach(config.replace(out=str(tmp_path / "b")))
    module = assisted.teacher.trainer.module
    assert module == models.create("mlp12x1", module.num_outputs)
    assert assisted.teacher.steps == (4, 8, 12, 16)
    for row in assisted.rows:
        assert row["teacher_test_accuracy"] == plain.rows[-1]["test_accuracy"]
        assert row["teacher_train_accuracy"] == plain.rows[-1]["train_accuracy"]
    # A teacher that was disturbed gives another assistant.
    noisy = config.replace(teacher_perturbation=1.0, out=str(tmp_path / "c"))
    assert not same(teach(noisy), assisted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher_noise": 0.1}, "'train' takes no fraction, got 0.1"),
        ({"teacher_data": "pair_noise"}, "'pair_noise' needs a fraction above 0"),
        ({"teacher_data": "validation", "validation_size": 0}, "needs a validation split"),
        ({"teacher_data": "validation", "batch_size": 16}, "at most the 8 validation examples"),
        ({"online_checkpoints": 5}, "at most the teacher's 4 checkpoints, got 5"),
        ({"online_checkpoints": 3, "teacher_stop": 0.5}, "teacher's 2 checkpoints, got 3"),
        ({"dataset": "digits", "teacher_augment": True}, "leave --teacher-augment out"),
        ({"teachers": __file__}, "--teachers must name a folder"),
        ({"assistant": "no_model"}, "unknown model 'no_model'"),
    ],
)
def test_what_does_not_fit_is_one_line_and_nothing_is_trained(quick, trained, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        execute(quick.replace(**changes), quiet=True)
    assert "\n" not in str(caught.value)
    assert not trained
    assert not (Path(quick.output.out) / "seeds").exists()


def test_an_assistant_needs_a_temperature():
    with pytest.raises(InputError, match="an assistant needs at least one temperature"):
        RunConfig.of(assistant="resnet8", arms=("labels",), temperatures=())
