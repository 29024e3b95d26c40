"""A recorder says what the front door says, once a step, and goes on where it was killed."""

import json
import runpy
import sys
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pytest
from flax import nnx

import kdtheory
from kdtheory import models, ntk
from kdtheory.errors import InputError
from kdtheory.measure import KernelSpec
from kdtheory.recording import along_table

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4)).astype(np.float32)
LABELS = np.arange(6) % 2
Y = np.eye(2)[LABELS]
MODEL = nn.Dense(2)
STEPS = {step: MODEL.init(jax.random.key(step), X) for step in (0, 3)}


def recorded(**settings):
    record = kdtheory.complexity_recorder(MODEL.apply, X, {"labels": Y, "half": Y / 2}, **settings)
    for step, variables in STEPS.items():
        record(step, variables)
    return record


def test_it_is_the_front_doors_value_at_every_step():
    record = recorded(labels=LABELS, ridge=0.1)
    for step, variables in STEPS.items():
        found = kdtheory.supervision_complexity(
            MODEL.apply, variables, X, {"labels": Y, "half": Y / 2}, ridge=0.1, labels=LABELS
        )
        assert [p.value for p in record.points if p.step == step] == list(found.values())


def test_sets_of_one_step_alone_and_steps_that_are_recorded_anew():
    record = recorded(ridge=0.1)
    record(9, STEPS[3], targets={"online": 2 * Y})
    record(0, STEPS[3])
    rows = {(row["step"], row["targets"]): row for row in record.rows()}
    assert list(rows) == [
        (step, name)
        for step, names in ((0, ("labels", "half")), (3, ("labels", "half")),
                            (9, ("labels", "half", "online")))
        for name in names
    ]  # fmt: skip
    assert rows[9, "online"]["complexity"] == pytest.approx(4 * rows[9, "labels"]["complexity"])
    assert rows[0, "labels"] == {**rows[3, "labels"], "step": 0}


def test_a_kernel_from_elsewhere_in_either_layout_gives_the_same():
    K = ntk.gram(MODEL.apply, STEPS[3], X, outputs="full", dtype="float64")
    four = K.reshape(6, 2, 6, 2).transpose(0, 2, 1, 3)
    expected = recorded(ridge=0.1).points[-1].value
    for gram in (K, four, jax.numpy.asarray(four, "float32")):
        record = kdtheory.kernel_recorder({"half": Y / 2}, ridge=0.1)
        found = record(3, gram)["half"]
        assert found.complexity.lower == pytest.approx(expected.complexity.lower, rel=1e-4)
    record = kdtheory.kernel_recorder({"half": Y / 2}, spec=KernelSpec(outputs="trace", ridge=0.1))
    assert record(3, np.einsum("ijaa->ij", four))["half"].complexity.lower > 0


def test_what_a_store_keeps_is_not_measured_again(tmp_path, monkeypatch):
    spec = KernelSpec(ridge=0.1, store=str(tmp_path))
    first = recorded(spec=spec, labels=LABELS)
    monkeypatch.setattr(
        "kdtheory.recording.factories.measured_kernel",
        lambda *a, **k: pytest.fail("it was measured again"),
    )
    assert recorded(spec=spec, labels=LABELS).points == first.points
    monkeypatch.undo()
    # Another ridge, other labels, another function: nothing is taken for theirs.
    other = recorded(spec=KernelSpec(ridge=0.2, store=str(tmp_path)), labels=LABELS)
    assert other.points[0].value != first.points[0].value
    doubled = kdtheory.complexity_recorder(
        lambda v, x: 2 * MODEL.apply(v, x), X, {"labels": Y, "half": Y / 2}, spec=spec
    )
    assert doubled(0, STEPS[0])["labels"].trace == pytest.approx(4 * first.points[0].value.trace)


def test_a_damaged_file_of_a_store_is_measured_again(tmp_path):
    spec = KernelSpec(ridge=0.1, store=str(tmp_path))
    first = recorded(spec=spec)
    for path in tmp_path.glob("step-*.npz"):
        with np.load(path) as archive:
            arrays = dict(archive)
        arrays["complexity"][0] += 1
        np.savez(path, **arrays)
    with pytest.warns(UserWarning, match="damaged .*; it is measured again"):
        assert recorded(spec=spec).points == first.points


def test_table_figure_and_rows_are_written(tmp_path):
    record = recorded(ridge=0.1, labels=LABELS)
    record.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"complexity.{form}" for form in ("csv", "html", "jsonl", "md", "png", "svg", "tex")
    ]
    rows = [json.loads(line) for line in (tmp_path / "complexity.jsonl").read_text().splitlines()]
    assert rows == json.loads(json.dumps(record.rows()))
    table = record.table()
    assert list(table.columns["targets"]) == ["labels", "labels", "half", "half"]
    assert list(table.columns["margin"]) == [1, 1, 0.5, 0.5]
    panels = record.figure().axes
    for axes, name in zip(panels, ("adjusted_complexity", "adjusted_over_rms"), strict=True):
        drawn = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
        for label, heights in drawn.items():
            assert heights == [row[name] for row in rows if row["targets"] == label]


def test_intervals_are_told_as_such():
    spec = KernelSpec(matrix_free=True, ridge=0.1, relative_gap=0.5)
    record = recorded(spec=spec)
    exact = recorded(ridge=0.1)
    for row, value in zip(record.rows(), exact.rows(), strict=True):
        assert row["complexity"] is None
        assert row["adjusted_over_rms_lower"] <= value["adjusted_over_rms"] + 1e-6
        assert row["adjusted_over_rms_upper"] >= value["adjusted_over_rms"] - 1e-6
    assert "[" in record.table().lines()[0][2]


def test_an_nnx_module_while_it_trains():
    module = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    apply_fn, _ = models.from_nnx(module)
    record = kdtheory.complexity_recorder(apply_fn, X, {"labels": Y}, ridge=0.1)
    before = record(0, models.from_nnx(module)[1])["labels"]
    module.kernel[...] = 2 * module.kernel[...]
    after = record(1, models.from_nnx(module)[1])["labels"]
    # The kernel of a linear network does not depend on its weights.
    assert after.complexity.lower == pytest.approx(before.complexity.lower, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recorded(labels=LABELS[:3]), r"labels must have shape \(6,\), got \(3,\)"),
        (lambda: recorded()(-1, STEPS[0]), "step must be an integer of at least 0, got -1"),
        (lambda: recorded()(1, STEPS[0], targets={"t": Y[:3]}), r"targets 't' must have shape"),
        (lambda: kdtheory.kernel_recorder({"a": Y, "b": Y[:, 0]}), "all have one shape"),
        (lambda: kdtheory.kernel_recorder({"a": Y})(0, np.eye(5)), r"\(12, 12\) or \(6, 6, 2, 2\)"),
        (lambda: kdtheory.kernel_recorder({"a": Y})(0, np.eye(6)), 'outputs="trace"'),
        (lambda: kdtheory.kernel_recorder({"a": [["x"]]}), "must be an array of numbers"),
        (lambda: along_table([]), "nothing was recorded"),
    ],
)
def test_what_does_not_fit_is_one_line(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_the_example_for_pytorch(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(sys, "argv", ["pytorch_complexity.py", str(tmp_path)])
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / "pytorch_complexity.py"))
    rows = [json.loads(line) for line in (tmp_path / "complexity.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows[::2]] == [0, 25, 50, 75, 100]
    over = {(row["step"], row["targets"]): row["adjusted_over_rms"] for row in rows}
    assert over[100, "labels"] < over[100, "random labels"]
