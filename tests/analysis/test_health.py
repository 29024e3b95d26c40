"""What counts as a training that failed: chance within sampling error, a loss that never fell."""

import numpy as np
import pytest

from kdtheory.analysis.health import is_at_chance, marked_failures, training_health

SIZES = {"num_classes": 10, "train_examples": 1000, "test_examples": 360}


@pytest.mark.parametrize(("num_classes", "examples"), [(2, 100), (10, 360), (100, 10_000)])
def test_guesses_are_at_chance_and_what_is_learnt_is_not(num_classes, examples):
    rng = np.random.default_rng(0)
    guessed = rng.binomial(examples, 1 / num_classes, size=200) / examples
    at_chance = [is_at_chance(a, num_classes=num_classes, examples=examples) for a in guessed]
    assert np.mean(at_chance) > 0.98
    better = 1 / num_classes + 6 * np.sqrt(1 / num_classes / examples)
    assert not is_at_chance(better, num_classes=num_classes, examples=examples)


def test_memorised_random_labels_are_a_training():
    assert training_health([2.3, 0.01], [0.1, 0.99], 0.1, **SIZES) is None


def test_a_rising_loss_is_fine_where_the_student_learns():
    """An online teacher's targets grow sharper: the loss is relative to others at each point."""
    assert training_health([0.1, 0.2, 0.3], [0.1, 0.5, 0.9], 0.9, **SIZES) is None
    assert "never fell" in training_health([0.1, 0.2, 0.3], [0.3, 0.3, 0.3], 0.3, **SIZES)


def rows(network, accuracy, *, seed=0, final=True):
    kind = "teacher" if network == "teacher" else "student"
    common = {"kind": kind, "settings": "s1", "seed": seed}
    if kind == "student":
        common |= {"arm": network, "temperature": 1.0}
    return [
        {**common, "step": step, "final": final and step == 8, "train_loss": 2.3 - step * accuracy,
         "train_accuracy": 0.1 + (step == 8) * (accuracy - 0.1), "test_accuracy": accuracy}
        for step in (8, 0)
    ]  # fmt: skip


def test_rows_name_the_networks_that_failed():
    stored = [
        *rows("teacher", 0.9),
        *rows("online", 0.1),
        *rows("online", 0.9, seed=1),
        *rows("offline", 0.1, final=False),  # not at its end yet
        {"kind": "complexity"},
    ]
    marked = marked_failures(stored, **SIZES)
    assert [{k: v for k, v in row.items() if k != "failure"} for row in marked] == stored
    (failed,) = [row for row in marked if "failure" in row]
    assert (failed["seed"], failed["arm"], failed["step"]) == (0, "online", 8)
    assert failed["failure"] == "at chance: train 10.0 %, test 10.0 % of 10 classes"
    (teacher,) = [r for r in marked_failures(rows("teacher", 0.1), **SIZES) if "failure" in r]
    assert teacher["final"]


def test_an_earlier_mark_is_judged_anew():
    wrong = [{**row, "failure": "once"} for row in rows("online", 0.9)]
    assert marked_failures(wrong, **SIZES) == rows("online", 0.9)
