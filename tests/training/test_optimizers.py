"""Schedules by name."""

import pytest

from kdtheory.errors import InputError
from kdtheory.training import OptimizerConfig, make_schedule


def rates(steps, **settings):
    schedule = make_schedule(OptimizerConfig(learning_rate=1.0, **settings), 100)
    return [pytest.approx(float(schedule(step)), abs=1e-6) for step in steps]


def test_cosine_with_warmup():
    assert rates([0, 5, 10, 55, 100], schedule="cosine", warmup=0.1) == [0, 0.5, 1, 0.5, 0]


def test_step_divides_by_ten():
    assert rates([0, 49, 51, 76, 91], schedule="step", warmup=0.0) == [1, 1, 0.1, 0.01, 0.001]
    assert rates([49, 51], schedule="step", warmup=0.1) == [1, 0.1]


def test_constant():
    assert rates([0, 99], schedule="constant", warmup=0.0) == [1, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning rate"),
        ({"warmup": 1.0}, "warmup"),
        ({"weight_decay": -1.0}, "weight decay"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InputError, match=message):
        OptimizerConfig(**settings)
