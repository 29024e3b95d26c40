"""Targets that are centred, and taken relative to the student's initial predictions."""

import jax
import numpy as np
import pytest

from kdtheory import models
from kdtheory.datasets import encode_labels, normalize
from kdtheory.runs import execute
from kdtheory.runs.loading import load_dataset


@pytest.mark.parametrize(
    ("centred", "residual"), [pytest.param(True, False, marks=pytest.mark.slow), (True, True)]
)
def test_complexity_is_of_the_targets_as_configured(tiny, centred, residual):
    """By their root mean square, which a row says; the margin is that of the labels themselves."""
    config = tiny.replace(
        arms=("labels",), temperatures=(), epochs=1, points=2, ntk_size=8, teacher_checkpoints=1,
        centre_targets=centred, residual_targets=residual,
    )  # fmt: skip
    rows = execute(config, quiet=True)
    dataset = load_dataset(config)
    images = normalize(dataset.train.images[:8], dataset.mean, dataset.std)
    targets = np.asarray(encode_labels(dataset.train.labels[:8], dataset.num_outputs))
    if residual:
        network = models.create(config.distillation.student, dataset.num_outputs)
        key = jax.random.fold_in(jax.random.key(0), 1)
        variables = models.init(network, key, dataset.image_shape)
        targets = targets - np.asarray(network.apply(variables, images))
    targets = targets - targets.mean(axis=0)
    labels = [row for row in rows if row.get("supervision") == "labels"]
    assert labels
    for row in labels:
        assert row["target_rms"] == pytest.approx(np.sqrt(np.mean(targets**2)), rel=1e-5)
        assert row["margin"] == 1.0
