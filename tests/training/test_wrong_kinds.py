"""Arguments of wrong types, as users give them: one line, in a process without type checks."""

import json
import os
import subprocess
import sys

import pytest

# call -> what its line must say. The tests' own process checks types before our code sees them.
CALLS = {
    "train(key=0)": "key must be one PRNG key, jax.random.key(0), got 0",
    "train(key=jax.random.split(jax.random.key(0)))": "got key<fry> of shape (2,)",
    "train(key=jnp.zeros(2))": "got float32 of shape (2,)",
    "train(key=None)": "got None",
    "train(epochs=1.5)": "epochs must be an integer of at least 1, got 1.5",
    "train(epochs='3')": "epochs must be an integer of at least 1, got '3'",
    "train(epochs=True)": "got True",
    "train(batch_size=32.0)": "batch_size must be an integer of at least 1, got 32.0",
    "train(evaluate_every=0.5)": "evaluate_every must be an integer of at least 1, got 0.5",
    "models.init(models.create('mlp8x1', 10), 7, (2, 2, 1))": "jax.random.key(7), got 7",
    "OptimizerConfig(learning_rate='0.1')": "learning rate must be a number above 0 and finite",
    "OptimizerConfig(learning_rate=None)": "got None",
    "OptimizerConfig(weight_decay='none')": "weight decay must be a number at least 0",
    "OptimizerConfig(gradient_clip=True)": "gradient clip must be a number above 0 and finite",
    "OptimizerConfig(optimizer='sdg')": "unknown optimizer 'sdg'; known: adam, sgd",
    "OptimizerConfig(schedule=3)": "unknown schedule '3'",
    "OptimizerConfig(milestones=0.5)": "milestones must be a tuple of numbers, got 0.5",
    "OptimizerConfig(milestones=('a',))": "milestones must be a tuple of numbers, got ('a',)",
    "train(mesh=2)": "mesh must be training.data_mesh(devices), got int",
    "RunConfig.of(epochs=1.5)": "epochs must be a whole number, got 1.5",
    "RunConfig.of(epochs='3')": "epochs must be a whole number, got '3'",
    "RunConfig.of(seeds=True)": "seeds must be a whole number, got True",
    "RunConfig.of(ridge='1e-3')": "ridge must be a number, got '1e-3'",
    "RunConfig.of(alpha=None)": "alpha must be a number, got None",
    "RunConfig.of(teacher=None)": "teacher must be a text, got None",
    "RunConfig.of(augment=1)": "augment must be true or false, got 1",
    "RunConfig.of(train_size=10.0)": "train_size must be a whole number or None, got 10.0",
    "RunConfig.of(temperatures=('4',))": "temperatures must be tuple[float, ...], got ('4',)",
    "RunConfig.of(student_optimizer={'learning_rate': 0.1})": "must be OptimizerConfig, got {",
    "RunConfig.of(student_optimizer=0.1)": "student_optimizer must be OptimizerConfig, got 0.1",
    "from_json({'student_optimizer': {'lerning_rate': 0.1}})": "did you mean 'learning_rate'?",
    "from_json({'student_optimizer': 0.1})": "student_optimizer",
    "load('digits', label_noise='0.1')": "label_noise must be between 0 and 1, got '0.1'",
    "load('digits', test_fraction='0.1')": "test_fraction must lie between 0 and 1, got '0.1'",
    "load('digits', image_size=32)": "image_size must be (height, width), got 32",
    "load('digits', task=None)": "a task is named by text, such as 'full', got None",
    "AugmentConfig(cutout=1.5)": "cutout must be an integer of at least 0, got 1.5",
    "AugmentConfig(mixup='0.2')": "mixup must be at least 0 and finite, got '0.2'",
    "encode_labels(np.array([0, 1]), 2.0)": "num_outputs must be an integer of at least 1, got 2.0",
}
# Both of JAX's kinds of keys and NumPy's numbers, which become Python's, are fine.
FINE = (
    "train(key=jax.random.PRNGKey(0))", "train(epochs=np.int64(1), batch_size=np.int32(32))",
    "json.dumps(OptimizerConfig(learning_rate=np.float32(0.5)).learning_rate)",
    "json.dumps(to_json(RunConfig.of(temperatures=np.array([1.0, 4.0], np.float32))))",
    "json.dumps(to_json(RunConfig.of(temperatures=[np.float32(2)], seeds=np.int64(2))))",
)  # fmt: skip

SCRIPT = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from kdtheory import models
from kdtheory.datasets import AugmentConfig, encode_labels, load
from kdtheory.errors import InputError
from kdtheory.runs import RunConfig
from kdtheory.runs.config import from_json, to_json
from kdtheory.training import OptimizerConfig, fit
data = load("synthetic", train_size=32, validation_size=16, test_size=16)

def train(**changes):
    settings = {"epochs": 1, "batch_size": 32, "key": jax.random.key(0), **changes}
    fit("mlp8x1", data, **settings)

def line(call):
    try:
        eval(call)
    except InputError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"

print(json.dumps({call: line(call) for call in json.loads(sys.argv[1])}))
"""


@pytest.fixture(scope="module")
def lines():
    calls = json.dumps([*CALLS, *FINE])
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, calls], capture_output=True, text=True, check=False,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("call", CALLS)
def test_one_line(lines, call):
    assert CALLS[call] in lines[call]
    assert "\n" not in lines[call]
    assert "Error: " not in lines[call]


@pytest.mark.parametrize("call", FINE)
def test_fine(lines, call):
    assert lines[call] is None
