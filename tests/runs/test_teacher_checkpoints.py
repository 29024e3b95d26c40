"""Which of a teacher's checkpoints are kept, thinned, and disturbed."""

import jax
import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.runs.loading import load_dataset
from kdtheory.runs.teacher import teacher_trainers
from kdtheory.runs.teacher_checkpoints import kept_points, perturbed, teacher_points, thinned


def test_kept_points():
    assert kept_points([29, 58, 100], 100, 0.29) == [29]
    assert kept_points([10, 20], 20, 1.0) == [10, 20]
    assert kept_points([10, 20], 20, 0.001) == [10]


def test_noise_is_relative_to_each_array_and_spares_statistics():
    variables = {
        "params": {"small": np.full(4000, 0.01, np.float32), "large": np.full(4000, 9, np.float32)},
        "batch_stats": {"mean": np.ones(3, np.float32)},
    }
    noisy = perturbed(variables, scale=0.3, key=jax.random.key(1))
    for name, values in variables["params"].items():
        relative = np.asarray(noisy["params"][name]) / values - 1
        assert relative.std() == pytest.approx(0.3, rel=0.05)
        assert abs(relative.mean()) < 0.03
    assert noisy["batch_stats"] is variables["batch_stats"]
    again = perturbed(variables, scale=0.3, key=jax.random.key(1))
    np.testing.assert_array_equal(again["params"]["large"], noisy["params"]["large"])


def test_thinned():
    assert thinned(range(10), 3) == (2, 6, 9)
    assert thinned([5], 1) == (0,)
    with pytest.raises(InputError, match="at most the teacher's 2 checkpoints, got 3"):
        thinned([1, 2], 3)


@pytest.mark.parametrize(
    ("checkpoints", "length", "steps"),
    [
        (8, 1, (1, 2, 3, 4, 5, 6, 7, 8)),
        (99, 2, (2, 4, 6, 8)),
        (3, 1, (3, 5, 8)),
        (2, 1, (4, 8)),
        (1, 4, (8,)),
    ],
)
def test_checkpoints_within_epochs(tiny, checkpoints, length, steps):
    config = tiny.replace(
        arms=("offline", "online"), temperatures=(2.0,), points=2,
        teacher_checkpoints=checkpoints, epochs=2, steps_per_dispatch=length,
    )  # fmt: skip
    own = teacher_trainers(config, load_dataset(config))["teacher"]
    assert tuple(teacher_points(own, checkpoints)) == steps
