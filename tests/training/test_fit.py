"""One call trains: labels, a teacher's targets, a transformation of one's own."""

import jax
import numpy as np
import optax
import pytest

from kdtheory import models
from kdtheory.datasets import load
from kdtheory.errors import InputError
from kdtheory.targets import Labels, offline
from kdtheory.training import fit


@pytest.fixture(scope="module")
def dataset():
    return load("digits", train_size=128, validation_size=64, test_size=32)


def test_learns_and_records(dataset):
    seen = []
    result = fit("mlp32x1", dataset, epochs=10, batch_size=16, key=jax.random.key(0),
                 evaluate_every=4, on_epoch=seen.append)  # fmt: skip
    assert list(result.history) == seen
    evaluated = [r.epoch for r in result.history if r.validation_accuracy is not None]
    assert evaluated == [4, 8, 10]
    assert result.history[-1].validation_accuracy > 0.5
    assert result.history[-1].loss < result.history[0].loss


def test_the_default_targets_are_the_labels(dataset):
    runs = [
        fit(models.create("mlp8x1", 10), dataset, targets, epochs=1, batch_size=32,
            key=jax.random.key(0), optimizer=optax.sgd(0.1))
        for targets in (None, Labels(10))
    ]  # fmt: skip
    jax.tree.map(np.testing.assert_array_equal, runs[0].variables, runs[1].variables)


def test_binary_tasks_have_one_logit():
    dataset = load("digits", task="even_odd", train_size=64, validation_size=0, test_size=16)
    runs = [
        fit("mlp8x1", dataset, targets, epochs=2, batch_size=32, key=jax.random.key(0))
        for targets in (None, Labels(1))
    ]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        runs[0].variables, runs[1].variables,
    )  # fmt: skip
    assert runs[0].history[-1].validation_accuracy is None


def test_distils(dataset):
    teacher = models.create("mlp8x1", 10)
    variables = models.init(teacher, jax.random.key(1), dataset.image_shape)
    targets = offline(teacher.apply, variables, temperature=4.0)
    result = fit("mlp8x1", dataset, targets, epochs=4, batch_size=32, key=jax.random.key(0))
    assert result.history[-1].loss < result.history[0].loss


def test_bad_arguments(dataset):
    with pytest.raises(InputError, match="epochs must be an integer of at least 1, got 0"):
        fit("mlp8x1", dataset, epochs=0, key=jax.random.key(0))
    with pytest.raises(InputError, match="unknown model"):
        fit("perceptron", dataset, epochs=1, key=jax.random.key(0))
