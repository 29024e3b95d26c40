"""Schedules by name."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.runs.config import TeachingConfig, TrainingConfig
from kdtheory.training import OptimizerConfig, Trainer, make_optimizer
from kdtheory.training.optimizers import make_schedule


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


def test_a_longer_gradient_is_scaled_to_the_clip():
    def first_update(gradient, clip):
        config = OptimizerConfig(
            warmup=0.0, weight_decay=0.0, schedule="constant", gradient_clip=clip
        )
        optimizer = make_optimizer(config, 10)
        params = jnp.zeros(2)
        return optimizer.update(gradient, optimizer.init(params), params)[0]

    long, short = jnp.array([300.0, 400.0]), jnp.array([0.3, 0.4])
    np.testing.assert_allclose(first_update(long, 1.0), first_update(long / 500, None), rtol=1e-5)
    np.testing.assert_array_equal(first_update(short, 1.0), first_update(short, None))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning rate must be a number above 0 and finite, got 0.0"),
        ({"learning_rate": math.inf}, "learning rate .* finite, got inf"),
        ({"learning_rate": math.nan}, "learning rate .* finite, got nan"),
        ({"warmup": 1.0}, r"warmup must be a number in \[0, 1\), got 1.0"),
        ({"weight_decay": -1.0}, "weight decay must be a number at least 0"),
        ({"weight_decay": math.inf}, "weight decay .* got inf"),
        ({"gradient_clip": 0.0}, "gradient clip must be a number above 0 and finite, or None"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(InputError, match=message):
        OptimizerConfig(**settings)


def test_fit_and_run_have_one_default():
    training, teaching = TrainingConfig(), TeachingConfig()
    assert training.student_optimizer == teaching.teacher_optimizer == OptimizerConfig()
    # What `fit` and a `Trainer` take where nothing is said.
    assert Trainer.__dataclass_fields__["optimizer"].default_factory is OptimizerConfig
