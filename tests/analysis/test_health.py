"""What counts as a training that failed: chance within sampling error, a loss that never fell."""

import numpy as np
import pytest

from kdtheory.analysis import failed_trainings, is_at_chance, training_health

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
    (failed,) = failed_trainings(stored, **SIZES)
    assert (failed.settings, failed.seed, failed.network, failed.temperature) == (
        "s1", 0, "online", 1.0,
    )  # fmt: skip
    assert failed.why == "at chance: train 10.0 %, test 10.0 % of 10 classes"
    assert [f.network for f in failed_trainings(rows("teacher", 0.1), **SIZES)] == ["teacher"]
