"""Inputs of any dtype, variables of any kind, and what is told of what cannot be."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

from kdtheory.errors import InputError
from kdtheory.ntk import explain, gram, nystrom_gram, operator, sketch
from kdtheory.ntk.inputs import as_inputs

ONES = nn.Dense(1, use_bias=False)
ONE = {"params": {"kernel": np.ones((1, 1), np.float32)}}
X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
DENSE = nn.Dense(2)
VARIABLES = DENSE.init(jax.random.key(0), X)


@pytest.mark.parametrize(
    ("dtype", "rows"),
    [("uint8", [200, 100]), ("int8", [-100, 100]), ("int32", [70000, 100]), ("bool", [1, 0]),
     ("float16", [200, 100]), ("float64", [200, 100])],
)  # fmt: skip
def test_products_are_in_the_dtype_of_the_result_not_of_the_inputs(dtype, rows):
    x = np.array(rows).reshape(2, 1).astype(dtype)
    expected = np.outer(rows, rows).astype(np.float32)
    np.testing.assert_array_equal(gram(ONES.apply, ONE, x), expected)
    kernel = operator(ONES.apply, ONE, x)
    np.testing.assert_array_equal(kernel.diagonal()[:, 0], np.diagonal(expected))
    assert kernel.trace() == np.trace(expected)
    found = nystrom_gram(ONES.apply, ONE, x, landmarks=1, key=jax.random.key(0))
    np.testing.assert_allclose(found.gram, expected, rtol=1e-5)
    assert found.relative_trace_error < 1e-6


@pytest.mark.parametrize("inner", ["float32", "bfloat16", "float16"])
def test_a_lower_precision_inside_the_model_does_not_lower_that_of_products(inner):
    """x and the cotangents are rounded as the model says; all that follows is in float64."""
    x = np.array([[1 / 3], [2 / 3]])
    kernel = gram(lambda v, x: ONES.apply(v, x.astype(inner)), ONE, x, dtype="float64")
    rounded = np.asarray(jnp.asarray(x, inner), np.float64)
    np.testing.assert_allclose(kernel, rounded @ rounded.T, rtol=1e-15)
    low = nn.Dense(1, use_bias=False, dtype=inner)
    kernel = gram(low.apply, ONE, x, dtype="float64")
    np.testing.assert_allclose(kernel, rounded @ rounded.T, rtol=1e-15)


def test_tokens_out_of_range_are_what_the_layer_makes_of_them():
    model, tokens = nn.Embed(5, 3), np.array([-1, 4, 0, 7], np.int32)
    variables = model.init(jax.random.key(0), tokens)
    jacobian = jax.jacrev(lambda p: model.apply({"params": p}, tokens))(variables["params"])
    rows = np.asarray(jacobian["embedding"]).reshape(12, -1)
    kernel = gram(model.apply, variables, tokens)
    np.testing.assert_array_equal(kernel, rows @ rows.T)
    assert kernel[0, 3] == 1  # -1 is the last token


class WeightNorm(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.WeightNorm(nn.Dense(2))(x)


def test_weight_norm_is_exact():
    model = WeightNorm()
    variables = model.init(jax.random.key(0), X)
    kernel, expected = (
        gram(model.apply, variables, X, method=method, dtype="float64")
        for method in ("auto", "neural_tangents")
    )
    np.testing.assert_allclose(kernel, expected, rtol=1e-12, atol=1e-13)


def test_logically_partitioned_parameters_are_parameters():
    init = nn.with_logical_partitioning(nn.initializers.lecun_normal(), ("in", "out"))
    model = nn.Dense(2, kernel_init=init)
    kernel = gram(model.apply, model.init(jax.random.key(0), X), X)
    np.testing.assert_array_equal(kernel, gram(DENSE.apply, VARIABLES, X))


def scaled(v, x):
    return v.get("scale", 1.0) * DENSE.apply({"params": v["params"]}, x)


@pytest.mark.parametrize(
    ("others", "factor"),
    [({"key": jax.random.key(0)}, 1), ({"state": None}, 1), ({"scale": 2.0}, 4), ({"count": 3}, 1)],
)
def test_keys_nothing_and_numbers_may_be_among_the_variables(others, factor):
    expected = factor * gram(DENSE.apply, VARIABLES, X)
    np.testing.assert_allclose(gram(scaled, {**VARIABLES, **others}, X), expected, rtol=1e-6)
    kernel = operator(scaled, {**VARIABLES, **others}, X)
    np.testing.assert_allclose(kernel.trace(), np.trace(expected), rtol=1e-6)


def test_a_python_number_may_be_a_parameter():
    kernel = gram(lambda v, x: v["params"]["a"] * x, {"params": {"a": 2.0}}, X, outputs="trace")
    np.testing.assert_allclose(kernel, X @ X.T, rtol=1e-6)


def test_what_is_differentiated_is_chosen_by_path_or_filter():
    whole = gram(DENSE.apply, VARIABLES, X)
    kernel = gram(DENSE.apply, VARIABLES, X, params="params/kernel")
    bias = gram(DENSE.apply, VARIABLES, X, params=lambda path, leaf: leaf.ndim == 1)
    np.testing.assert_array_equal(bias, np.kron(np.ones((4, 4)), np.eye(2)))
    np.testing.assert_allclose(kernel + bias, whole, rtol=1e-6)
    plain = [VARIABLES["params"]["kernel"], VARIABLES["params"]["bias"]]
    found = gram(lambda w, x: x @ w[0] + w[1], plain, X, params=lambda *_: True)
    np.testing.assert_allclose(found, whole, rtol=1e-6)
    only = operator(DENSE.apply, VARIABLES, X, params="params/kernel")
    np.testing.assert_allclose(only.trace(), np.trace(kernel), rtol=1e-6)


TRAIN_STATE = TrainState.create(apply_fn=DENSE.apply, params=VARIABLES["params"], tx=optax.sgd(0.1))
NNX = nnx.Linear(3, 2, rngs=nnx.Rngs(0))


class Recurrent(nn.Module):
    @nn.compact
    def __call__(self, x, deterministic=None):
        return nn.RNN(nn.LSTMCell(2))(x[:, None])[:, -1]


class Deterministic(nn.Module):
    @nn.compact
    def __call__(self, x, deterministic):
        return nn.Dropout(0.5, deterministic=deterministic)(nn.Dense(2)(x))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variables": TRAIN_STATE}, r'variables is a TrainState: pass \{"params": state.params'),
        ({"apply_fn": lambda v, x: (DENSE.apply(v, x), 1)}, r"returned tuple; take the logits out"),
        ({"apply_fn": NNX}, r"module of flax.nnx: pass .*kdtheory.models.from_nnx\(model\)"),
        ({"variables": NNX}, r"module of flax.nnx: pass .*kdtheory.models.from_nnx\(model\)"),
        ({"variables": VARIABLES["params"]}, r'got bias, kernel; parameters alone go in as \{"par'),
        ({"variables": {"params": {"a": "text"}}}, "params/a is a str"),
        ({"variables": {"params": {"a": np.ones(2, complex)}}}, "must be real floating point"),
        ({"apply_fn": Deterministic().apply}, "deterministic.*; close over it, as in lambda v, x"),
        ({"params": "weights"}, 'must hold parameters under "weights"; got params'),
        ({"params": lambda *_: False}, "that the filter takes; got params"),
        ({"apply_fn": lambda v, x: v["params"]["kernel"].sum() + 0 * x.sum(1)}, r"\(n, d\)"),
        ({"apply_fn": lambda v, x: 2 * x}, "the logits depend on no parameter"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_what_to_do(changes, message):
    given = {"apply_fn": DENSE.apply, "variables": VARIABLES, "x": X, **changes}
    params = {"params": given.pop("params")} if "params" in given else {}
    for call in (gram, operator, explain):
        with pytest.raises(InputError, match=message) as caught:
            call(*given.values(), **params)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("x", [{"a": X}, (X, X), [X, X]])
def test_inputs_in_parts_are_refused_with_the_way_out(x):
    kind = type(x).__name__
    with pytest.raises(InputError, match=f"along axis 0; got a {kind} .put its parts into one"):
        as_inputs("x", x, np.dtype(np.float32))


@pytest.mark.parametrize(
    "call",
    [
        gram,
        operator,
        lambda *a, **k: sketch(*a, dimension=50, key=jax.random.key(0), **k),
    ],
)
def test_a_dtype_of_its_own_in_float64_names_param_dtype(call):
    model = Recurrent()
    variables = model.init(jax.random.key(0), X)
    call(model.apply, variables, X)
    with pytest.raises(
        InputError, match=r"float32.*float64.*set the model's param_dtype"
    ) as caught:
        call(model.apply, variables, X, dtype="float64")
    assert "\n" not in str(caught.value)
