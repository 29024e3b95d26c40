"""`kdtheory advise`: teachers of three kinds, what is ranked, and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kdtheory.bounds.supervision_ranking import RankedSupervisions
from kdtheory.cli import main
from kdtheory.datasets.data_config import DataConfig
from kdtheory.errors import InputError
from kdtheory.report.advice_table import advice_table, shown_places
from kdtheory.runs.advice import (
    MEASURED,
    AdviceConfig,
    Candidate,
    Teacher,
    advise,
    candidates_of,
    plain_rules,
    targets_of,
)
from kdtheory.runs.events import Events

DATA = ["--dataset", "synthetic", "--train-size", "32", "--validation-size", "8"]
SMALL = [
    "--student", "mlp8x1", "--ntk-size", "16", "--batch-size", "16", "--temperatures", "1", "4",
]  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return DataConfig(dataset="synthetic", train_size=64, validation_size=16).load()


def teacher_with(name, dataset, right):
    """A teacher of two checkpoints whose logits are right for that share of every split."""

    def logits(split, share):
        rng = np.random.default_rng(len(split))
        keep = rng.uniform(size=len(split)) < share
        shown = np.where(keep, split.labels, (split.labels + 1) % dataset.num_outputs)
        return 4 * np.eye(dataset.num_outputs, dtype=np.float32)[shown]

    return Teacher(name, (5, 10), tuple(
        {"train": logits(dataset.train, share), "validation": logits(dataset.validation, share)}
        for share in right
    ))  # fmt: skip


def test_a_teacher_that_is_wrong_is_last_and_one_kernel_serves_all(data, monkeypatch):
    config = AdviceConfig(
        student="mlp8x1", temperatures=(1.0, 4.0), weights=(1.0,), size=64, warm_up=0,
        batch_size=16, seed=0,
    )  # fmt: skip
    good, bad = teacher_with("good", data, (0.9, 1.0)), teacher_with("bad", data, (0.0, 0.0))
    calls = []
    import kdtheory.runs.advice as module

    real = module.gram
    monkeypatch.setattr(module, "gram", lambda *a, **k: calls.append(1) or real(*a, **k))
    advice = advise(data, [good, bad], config, Events())
    assert len(calls) == 1
    assert len(advice.candidates) == 1 + 2 * 2 * 2
    worst = {advice.candidates[i].teacher for i in advice.ranked.order[-4:]}
    assert worst == {"bad"}
    assert advice.candidates[advice.plain["the final teacher at τ = 4"]].teacher == "good"
    assert "initialisation" in advice.premises[0]


def test_targets_are_those_that_a_student_is_taught(data):
    teacher = teacher_with("one", data, (1.0, 1.0))
    candidates = candidates_of([teacher], [2.0], [0.25])
    targets = targets_of(candidates, [teacher], data.train.labels[:8], data.num_outputs)
    onehot = np.eye(data.num_outputs)[data.train.labels[:8]]
    np.testing.assert_allclose(targets[0], onehot)
    soft = np.exp(teacher.logits[1]["train"][:8].astype(float) / 2)
    soft /= soft.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(targets[2], 0.25 * soft + 0.75 * onehot, rtol=1e-5)


def test_plain_rules_take_the_most_accurate_checkpoint(data):
    teachers = [teacher_with("early", data, (1.0, 0.5)), teacher_with("late", data, (0.5, 0.8))]
    candidates = candidates_of(teachers, [1.0, 3.0], [1.0])
    taken = {rule: candidates[i] for rule, i in plain_rules(candidates, teachers, data).items()}
    assert taken["the final teacher at τ = 3"] == Candidate("late", 10, True, 3.0, 1.0)
    most = taken["the most accurate checkpoint (validation) at τ = 3"]
    assert most == Candidate("early", 5, False, 3.0, 1.0)
    assert taken["labels"] == Candidate(None)


def test_models_are_trained_once_and_runs_and_files_are_read(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    epochs = ["--teacher-epochs", "2", "--teacher-checkpoints", "2"]
    main(["advise", "mlp16x1", *DATA, *SMALL, *epochs, "--warm-up", "1", "--out", "a"])
    printed = capsys.readouterr().out
    assert "First of 9 for mlp8x1" in printed
    assert "after 1 epoch on the labels" in " ".join(printed.split())
    rows = pl.read_csv("a/advice.csv")
    assert len(rows) == 9
    assert sorted(rows["place"].to_list()) == list(range(1, 10))
    assert json.loads((tmp_path / "a" / "advice.json").read_text())["config"]["warm_up"] == 1
    assert (tmp_path / "a" / "advice.png").stat().st_size > 0

    # Its teacher is a run's, which another call reads, and trains nothing.
    monkeypatch.setattr("kdtheory.training.trainer.run", None)
    main(["advise", "a/teachers/mlp16x1", *SMALL, "--out", "b"])
    assert "mlp16x1: mlp16x1, final, τ = 4" in capsys.readouterr().out

    data = DataConfig(dataset="synthetic", train_size=32, validation_size=8).load()
    np.save("logits.npy", 3 * np.eye(data.num_outputs, dtype=np.float32)[data.train.labels])
    main(["advise", "logits.npy", *DATA, *SMALL, "--out", "c"])
    assert "(train) at τ = 4" in " ".join(capsys.readouterr().out.split())


def refused(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["advise", *words])
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name at least one teacher"),
        (["nobody"], "unknown model 'nobody'"),
        ([".", *DATA], "no run's folder"),
        (["none.npz", *DATA], "No such file"),
        (["a/../mlp16x1.pt", *DATA], "unknown model"),
        (["mlp16x1", *DATA, "--ntk-size", "3"], "--ntk-size must be at least 4, got 3"),
        (["mlp16x1", *DATA, "--temperatures", "0"], "temperatures must be numbers above 0"),
        (["mlp16x1", *DATA, "--weights", "2"], "weights must lie in (0, 1]"),
        (["mlp16x1", *DATA, "--warm-up", "-1"], "--warm-up must be at least 0"),
        (["mlp16x1", *DATA, "--ntk-size", "999"], "at most the 32 training examples"),
        (["mlp16x1", *DATA, "--ntk-size", "24", "--warm-up", "1"], "of which there are 8"),
        (["mlp16x1", *DATA, "--ntk-size", "16", "--student", "nobody"], "unknown model 'nobody'"),
    ],
)
def test_what_makes_no_sense_is_one_line_before_anything_is_trained(
    words, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kdtheory.training.trainer.run", None)
    error = refused(capsys, *words)
    assert message in error
    assert error.count("\n") == 1


def test_weights_and_sizes_are_checked():
    with pytest.raises(InputError, match="weights"):
        AdviceConfig(
            student="mlp8x1", temperatures=(1.0,), weights=(), size=8, warm_up=0, batch_size=8,
            seed=0,
        )  # fmt: skip


def test_the_table_shows_the_first_and_the_plain_ones():
    zeros = np.zeros(4)
    ranked = RankedSupervisions(np.array([3, 1, 0, 2]), *[zeros] * 8, num_scored=2)
    assert shown_places(ranked, {"labels": 2}, count=2) == [0, 1, 3]
    table = advice_table(["a", "b", "c", "d"], ranked, {"labels": 2}, notes=["It rests on x."])
    assert table.columns["candidate"] == ["d", "b", "a", "c"]
    assert table.notes == ("Plain rules would take labels: place 4.", "It rests on x.")


def test_the_first_line_says_what_the_study_measured():
    stored = Path(__file__).parents[2] / "experiments" / "results" / "advise"
    rows = {
        cells[1].strip(): float(cells[3])
        for line in (stored / "table.md").read_text(encoding="utf-8").splitlines()
        if (cells := line.split("|"))[0] == "" and len(cells) > 4 and "." in cells[3]
    }
    rules = (
        "prequential error, kernel at initialisation", "a candidate at random",
        "final teacher, τ = 4",
    )  # fmt: skip
    assert re.findall(r"\d+\.\d+", MEASURED) == [f"{rows[rule]:.2f}" for rule in rules]
    verdict = "it does not beat the plain rules" in (stored / "finding.md").read_text("utf-8")
    assert ("no rule of the theory beats the plain ones" in MEASURED) == verdict
