"""The matched arm, the test examples' kernels and the bound's terms in a run, and their values."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.analysis import ntk_similarity
from kdtheory.errors import InputError
from kdtheory.ntk import gram
from kdtheory.report import read_rows
from kdtheory.runs import RunConfig, execute, student
from kdtheory.runs.bounds_at_init import DELTA, GAMMAS, bound_rows
from kdtheory.runs.events import Events
from kdtheory.runs.matched import matched_schedule, matched_steps
from kdtheory.training import OptimizerConfig


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_anywhere):
    """A run with all of the settings: (its configuration, its rows, what its students share)."""
    config = tiny_anywhere.replace(
        out=str(tmp_path_factory.mktemp("settings") / "run"), task="odd_even",
        arms=("online", "matched"), temperatures=(4.0,), ntk_split="test", similarity_size=6,
        bounds=True, student_optimizer=OptimizerConfig(learning_rate=0.5, warmup=0.0),
    )  # fmt: skip
    contexts = []
    original = student.train_student

    def train_student(arm, seed, *arguments, **settings):
        contexts.append(seed)
        return original(arm, seed, *arguments, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kdtheory.runs.runner.train_student", train_student)
        rows = execute(config, quiet=True)
    return config, rows, contexts[0]


def of_kind(rows, kind, **fields):
    return [
        row
        for row in rows
        if row["kind"] == kind and all(row[name] == value for name, value in fields.items())
    ]


def test_the_rows_can_be_read(run):
    config, rows, _ = run
    read = read_rows(Path(config.output.out))
    assert len(read.rows) == len(rows)
    assert read.notes == []
    assert {row["arm"] for row in of_kind(rows, "student")} == {"online", "matched"}


def test_the_matched_student_has_the_checkpoint_of_its_schedule(run):
    _, rows, context = run
    students = of_kind(rows, "student", arm="matched")
    (schedule,) = {tuple(row["schedule"]) for row in students}
    assert len(schedule) == len(context.teacher.steps)
    assert schedule != context.teacher.steps
    assert all("schedule" not in row for row in of_kind(rows, "student", arm="online"))
    for row in of_kind(rows, "complexity", arm="matched", supervision="matched"):
        position = min(np.searchsorted(schedule, row["step"]), len(schedule) - 1)
        # A supervision's margin depends on its targets alone, so it tells the checkpoint.
        margins = [
            each["margin"]
            for each in of_kind(rows, "complexity", arm="online", supervision="online")
            if context.teacher.position(each["step"]) == position
        ]
        assert all(margin == row["margin"] for margin in margins)


def test_a_continued_run_finds_the_same_schedule(run):
    config, rows, _ = run
    for path in Path(config.output.out).glob("seeds/0/matched-tau4/rows-*.jsonl"):
        path.unlink()
    assert execute(config, quiet=True) == rows


def test_the_kernel_is_that_of_the_test_examples(run):
    config, rows, context = run
    images = context.dataset.test.images[: config.measuring.ntk_size]
    normalised = ((images / 255 - context.dataset.mean) / context.dataset.std).astype(np.float32)
    np.testing.assert_allclose(context.ntk_examples.images, normalised, rtol=1e-5, atol=1e-6)
    labels = 2.0 * context.dataset.test.labels[: config.measuring.ntk_size, None] - 1
    np.testing.assert_array_equal(context.fixed_targets["labels"], labels)
    kernel = gram(
        context.student_trainer.module.apply, context.initial_variables, normalised, dtype="float64"
    )
    ridge = config.measuring.ridge * np.trace(kernel) / len(kernel)
    solved = np.linalg.solve(kernel + ridge * np.eye(len(kernel)), labels)
    (row,) = of_kind(rows, "complexity", arm="online", supervision="labels", step=0)
    np.testing.assert_allclose(row["complexity"], (labels * solved).sum(), rtol=1e-5)


def test_the_last_kernels_are_compared_on_test_examples(run):
    _, rows, context = run
    for row in of_kind(rows, "student"):
        assert ("test_ntk_similarity" in row) == row["final"]
    kernels = [
        gram(trainer.module.apply, variables, context.similarity_images, outputs="trace")
        for trainer, variables in (
            (context.teacher.trainer, context.teacher.trajectory.final()),
            (context.student_trainer, context.initial_variables),
        )
    ]
    assert kernels[0].shape == (6, 6)
    np.testing.assert_allclose(context.teacher_test_kernel, kernels[0], rtol=1e-5)
    found = student._test_similarities(context.initial_variables, context, Events())
    expected = ntk_similarity(*kernels), ntk_similarity(*kernels, centred=True)
    np.testing.assert_allclose(tuple(found.values()), expected, rtol=1e-5)


def test_the_terms_of_the_bounds(run):
    _, rows, context = run
    bounds = of_kind(rows, "bound")
    m = len(context.teacher.steps)
    assert len(bounds) == 2 + 1 + m
    for row in bounds:
        parts = ("teacher_error", "margin_loss", "complexity_term", "confidence_term")
        np.testing.assert_allclose(row["bound"], sum(row[name] for name in parts), rtol=1e-12)
        assert row["validity"] == "certificate"
        assert row["delta"] == DELTA
    *_, last = of_kind(bounds, "bound", supervision="online")
    (offline,) = of_kind(bounds, "bound", supervision="offline")
    for name, value in offline.items():
        if name != "supervision":
            assert last[name] == (pytest.approx(value) if isinstance(value, float) else value)
    (labels,) = of_kind(bounds, "bound", supervision="labels")
    assert labels["teacher_error"] == 0
    assert labels["teacher_test_error"] is None
    (teacher,) = of_kind(rows, "teacher", final=True)
    assert offline["teacher_test_error"] == pytest.approx(1 - teacher["test_accuracy"])


def test_the_bound_of_the_labels_by_hand(run):
    config, rows, context = run
    (row,) = of_kind(rows, "bound", supervision="labels")
    images = np.asarray(context.ntk_examples.images)
    apply_fn = context.student_trainer.module.apply
    kernel = gram(apply_fn, context.initial_variables, images, dtype="float64")
    n = len(kernel)
    initial = np.asarray(apply_fn(context.initial_variables, jnp.asarray(images)))
    initial = initial[:, 0].astype(float)
    y = 2.0 * np.asarray(context.ntk_examples.labels) - 1
    ridge = config.measuring.ridge * np.trace(kernel) / n
    weights = np.linalg.solve(kernel + ridge * np.eye(n), y - initial)
    norm = weights @ kernel @ weights
    np.testing.assert_allclose(row["squared_norm"], norm, rtol=1e-4)
    margins = y * (initial + kernel @ weights)
    radius = np.ceil(16 * np.sqrt(norm)) / 16
    values = [
        np.mean(margins <= gamma) + 2 * radius * np.sqrt(np.trace(kernel)) / (gamma * n)
        for gamma in GAMMAS
    ]
    assert row["radius"] == radius
    assert row["gamma"] == GAMMAS[np.argmin(values)]
    np.testing.assert_allclose(row["bound"] - row["confidence_term"], min(values), rtol=1e-4)


def test_matched_on_complexity_over_the_targets_mean_square(run):
    config, _, context = run
    changed = dataclasses.replace(
        context, config=config.replace(matched_on="over_rms"), schedules={}
    )
    logits = [context.measured(each) for each in context.online_teacher.logits]
    m = len(logits)
    targets = [context.targets_of(each, 4.0) for each in (*logits, *context.learned.values())]
    found = context.complexities(context.kernel_at_init(), targets)
    values = [
        float(one.complexity.middle / np.mean(np.square(each, dtype=np.float64)))
        for one, each in zip(found, targets, strict=True)
    ]
    expected = matched_steps(values[:m], list(context.learned), values[m:])
    assert matched_schedule(changed, 4.0) == expected


def test_a_bound_takes_the_best_of_its_ridges(run):
    config, rows, context = run
    own, measured = config.measuring.ridge, of_kind(rows, "bound")
    ridges = (own, 1.0, 30.0)
    changed = dataclasses.replace(context, config=config.replace(bound_ridges=ridges))
    unit = context.kernel_at_init().factor.trace / context.kernel_at_init().factor.size
    alone = []
    for ridge in ridges:
        one = dataclasses.replace(context, config=config.replace(bound_ridges=(ridge,)))
        alone.append(bound_rows(one))
        np.testing.assert_allclose([row["ridge"] for row in alone[-1]], ridge * unit, rtol=1e-9)
    for row, *each in zip(bound_rows(changed), *alone, strict=True):
        assert row == min(each, key=lambda one: one["bound"])
    # The run's own ridge, among them, gives what it gives alone; a larger one fits by a small norm.
    for before, row, large in zip(measured, alone[0], alone[2], strict=True):
        assert row["bound"] == pytest.approx(before["bound"], rel=1e-9)
        assert large["squared_norm"] < row["squared_norm"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bound_ridges": (1.0,)}, "bound_ridges are for the bounds; give --bounds too"),
        ({"bounds": True, "bound_ridges": (0.0,)}, "bound_ridges must be above 0 and finite"),
    ],
)
def test_ridges_of_bounds_that_cannot_be(settings, message):
    with pytest.raises(InputError, match=message):
        RunConfig.of(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bounds": True}, "binary tasks"),
        ({"similarity_size": 17}, "similarity_size must be at most the 16 test examples"),
        ({"ntk_split": "test", "ntk_size": 17}, "ntk_size must be at most the 16 test examples"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_at_once(tiny, settings, message):
    with pytest.raises(InputError, match=message):
        execute(tiny.replace(**settings), quiet=True)
    assert not Path(tiny.output.out).exists()
