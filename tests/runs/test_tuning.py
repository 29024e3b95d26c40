"""Learning rates chosen an arm on the validation split: rows, later seeds, continuing, refusals."""

import shutil

import numpy as np
import pytest

from kdtheory.arms import Supervision
from kdtheory.errors import InputError, RunError
from kdtheory.report import read_rows, run_results
from kdtheory.rows import arm_of, students, tunings
from kdtheory.runs import execute
from kdtheory.statistics.tuning import chosen_rates
from kdtheory.training import OptimizerConfig

ARMS = ("labels", "offline")


def tuned(config, **changes):
    settings = {
        "arms": ARMS, "temperatures": (4.0,), "points": 2, "kernel": "none", "epochs": 2,
        "teacher_checkpoints": 2, "tune": (0.3, 1e-4), "seeds": 2, "validation_size": 16,
        "student_optimizer": OptimizerConfig(gradient_clip=None),
    }  # fmt: skip
    return config.replace(**{**settings, **changes})


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_anywhere):
    config = tuned(tiny_anywhere, out=str(tmp_path_factory.mktemp("tuned") / "run"))
    return config, execute(config, quiet=True)


def test_each_arm_has_the_rate_of_its_best_validation_accuracy(run):
    _, rows = run
    for arm in run[0].arm_list():
        tried = [row for row in tunings(rows) if arm_of(row) == arm]
        assert [row["learning_rate"] for row in tried] == [1e-4, 0.3]
        assert {row["seed"] for row in tried} == {0}
        best = max(row["validation_accuracy"] for row in tried)
        (chosen,) = [row for row in tried if row["chosen"]]
        assert chosen["validation_accuracy"] == best
        first = min(r["learning_rate"] for r in tried if r["validation_accuracy"] == best)
        assert chosen["learning_rate"] == first


def test_every_seed_trains_at_the_chosen_rate(run, tiny):
    _, rows = run
    rate = chosen_rates(rows)[Supervision("labels", None)]
    optimizer = OptimizerConfig(learning_rate=rate, gradient_clip=None)
    plain = execute(tuned(tiny, tune=(), arms=("labels",), student_optimizer=optimizer), quiet=True)
    for seed in (0, 1):
        own, same = (
            [row for row in students(of, Supervision("labels", None)) if row["seed"] == seed]
            for of in (rows, plain)
        )
        assert [row["train_loss"] for row in own] == [row["train_loss"] for row in same]
    # The chosen candidate is the first seed's student: nothing is trained twice.
    chosen = tunings(rows)[0]["arm"], 0
    (last,) = [r for r in students(rows) if (r["arm"], r["seed"]) == chosen and r["final"]]
    (row,) = [r for r in tunings(rows) if r["arm"] == "labels" and r["chosen"]]
    assert last["validation_accuracy"] == row["validation_accuracy"]


def test_a_finished_run_is_read_and_its_table_says_the_rates(run, monkeypatch):
    config, rows = run

    def train(*arguments, **settings):
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr("kdtheory.runs.network.Network.train", train)
    assert execute(config, quiet=True) == rows
    read = read_rows(config.output.out)
    assert (read.rows, read.notes) == (rows, [])
    notes = " ".join(run_results(read.rows).tables[0].notes)
    assert "of 0.0001, 0.3, by last-epoch validation accuracy at seed 0" in notes
    assert "edge of its list" in notes


def test_more_seeds_go_on_with_the_choice(run, tiny):
    config, rows = run
    shutil.copytree(config.output.out, tiny.output.out)
    again = tuned(tiny, seeds=3)
    both = [row for row in execute(again, quiet=True) if row["seed"] < 2]
    assert both == rows


def test_students_that_train_together_are_of_one_rate(run, tiny):
    rows = execute(tuned(tiny, together="arms", arms=("offline",), temperatures=(1.0, 4.0)),
                   quiet=True)  # fmt: skip
    assert len(chosen_rates(rows)) == 2
    arm = Supervision("offline", 4.0)
    finals = [row for row in students(rows, arm) if row["final"]]
    plain = [row for row in students(run[1], arm) if row["final"]]
    for one, other in zip(finals, plain, strict=True):
        np.testing.assert_allclose(one["train_loss"], other["train_loss"], rtol=1e-4)


def test_a_rate_that_diverges_is_told_and_not_chosen(tiny):
    config = tuned(tiny, tune=(1e-3, 1e30), arms=("labels",), seeds=1)
    rows = execute(config, quiet=True)
    low, high = tunings(rows)
    assert (low["chosen"], high["chosen"], high["validation_accuracy"]) == (True, False, None)
    assert "diverged" in high
    assert "diverged: labels at 1e+30" in " ".join(run_results(rows).tables[0].notes)


def test_rates_that_all_diverge_end_the_run(tiny):
    with pytest.raises(RunError, match=r"every learning rate of tune .* diverged"):
        execute(tuned(tiny, tune=(1e30,), arms=("labels",)), quiet=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"validation_size": 0}, "there are none; give --validation-size"),
        ({"teacher_data": "validation"}, "that the teacher has not seen"),
        ({"tune": (0.1, 0.1)}, "differ from each other"),
        ({"tune": (-1.0,)}, "above 0"),
    ],
)
def test_what_cannot_be_tuned_is_refused(tiny, changes, message):
    with pytest.raises(InputError, match=message):
        execute(tuned(tiny, **changes), quiet=True)
