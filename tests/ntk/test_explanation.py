"""What `explain` says of a kernel is what `gram` then does."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.memory import format_bytes
from kdtheory.ntk import explain

X = np.random.default_rng(0).normal(size=(20, 6, 6, 2)).astype(np.float32)


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        dense = nn.Dense(4)
        x = nn.relu(nn.Conv(4, (3, 3))(x)).mean((1, 2))
        return nn.Dense(3)(dense(nn.tanh(dense(x))))


MODEL = Model()
VARIABLES = MODEL.init(jax.random.key(0), X)


def test_every_equation_has_its_form_and_place():
    found = explain(MODEL.apply, VARIABLES, X)
    seen = [(one.primitive, one.parameters, one.entries, one.form, one.summed) for one in found[0]]
    assert seen == [
        ("conv_general_dilated", ("Conv_0/kernel",), 72, "shifted slices", False),
        ("add", ("Conv_0/bias",), 4, "sum over positions", False),
        ("dot_general", ("Dense_0/kernel",), 16, "outer product", True),
        ("add", ("Dense_0/bias",), 4, "sum over positions", True),
        ("dot_general", ("Dense_0/kernel",), 16, "outer product", True),
        ("add", ("Dense_0/bias",), 4, "sum over positions", True),
        ("dot_general", ("Dense_1/kernel",), 12, "outer product", False),
        ("add", ("Dense_1/bias",), 3, "sum over positions", False),
    ]
    assert (found.parameters, found.num_outputs, found.examples) == (111, 3, 20)
    assert found.matrix_bytes == 60 * 60 * 4
    assert found.seconds > 0
    lines = str(found).splitlines()
    # Equal lines are one, and the last is the summary.
    assert len(lines) == 1 + 6 + 1
    assert "Model/Dense_0, 2 times" in lines[3]
    assert "n = 20, d = 3, P = 111: the matrix takes 14.1KiB" in lines[-1]
    assert format_bytes(found.memory_bytes) in lines[-1]


def test_the_general_way_says_why():
    def apply_fn(variables, x):
        matrix = jnp.eye(2) + variables["params"]["w"]
        return jnp.linalg.solve(matrix, x.mean((1, 2))[..., None])[..., 0]

    found = explain(apply_fn, {"params": {"w": np.zeros((2, 2), np.float32)}}, X)
    forms = [one.form for one in found.equations]
    assert any(
        form.startswith("general: ") and "vector-Jacobian product" in form for form in forms
    ), forms


def test_a_budget_is_kept_by_the_memory_that_is_told():
    x = np.repeat(X, 100, axis=0)
    free = explain(MODEL.apply, VARIABLES, x)
    tight = explain(MODEL.apply, VARIABLES, x, memory_budget="24MiB")
    assert tight.memory_bytes <= 24 * 2**20
    assert tight.memory_bytes <= free.memory_bytes
    with pytest.raises(InputError, match="too small for this model"):
        explain(MODEL.apply, VARIABLES, x, memory_budget="1KiB")


def test_unknown_outputs_are_refused():
    with pytest.raises(InputError, match="unknown outputs 'all'"):
        explain(MODEL.apply, VARIABLES, X, outputs="all")
