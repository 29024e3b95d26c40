"""An NNX module is a student like any other, by a name of its own."""

import jax
import pytest
from flax import nnx

from kdtheory import models
from kdtheory.runs import RunConfig, execute


class OfNnx(nnx.Module):
    def __init__(self, num_outputs, *, rngs):
        self.norm = nnx.BatchNorm(64, rngs=rngs)
        self.dense = nnx.Linear(64, num_outputs, rngs=rngs)

    def __call__(self, x, train=False):
        x = self.norm(x.reshape(x.shape[0], -1), use_running_average=not train)
        return self.dense(jax.nn.relu(x))


@models.register(r"of_nnx_student", examples=("of_nnx_student",))
def build(num_outputs):
    return nnx.bridge.to_linen(OfNnx, num_outputs)


@pytest.mark.slow
def test_an_nnx_module_is_trained_and_measured(tmp_path):
    config = RunConfig.of(
        dataset="digits", teacher="mlp8x1", student="of_nnx_student", train_size=32, test_size=16,
        validation_size=0, arms=("labels",), epochs=1, batch_size=16, seeds=1, points=2,
        ntk_size=6, out=str(tmp_path / "run"),
    )  # fmt: skip
    rows = execute(config, quiet=True)
    (final,) = [row for row in rows if row["kind"] == "student" and row["final"]]
    assert final["student"] == "of_nnx_student"
    complexities = [row["adjusted_complexity"] for row in rows if row["kind"] == "complexity"]
    assert min(complexities) > 0
    assert 0 <= final["test_accuracy"] <= 100
