"""The kernel as an operator does what the dense matrix does."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.ntk import gram, operator


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Conv(3, (2, 2))(x))
        x = nn.BatchNorm(use_running_average=True)(x)
        return nn.Dense(2)(x.reshape(x.shape[0], -1))


@pytest.fixture(scope="module")
def problem():
    x = np.random.default_rng(0).normal(size=(7, 3, 3, 2)).astype(np.float32)
    return Net().apply, Net().init(jax.random.key(0), x), x


def plain_function(variables, x):
    """The same network, in a way that layers cannot be told."""
    params = jax.tree.map(lambda p: 2 * p, variables["params"])
    return Net().apply({**variables, "params": params}, x)


@pytest.mark.parametrize("outputs", ["full", "sum"])
@pytest.mark.parametrize("layers", [True, False])
def test_products_trace_and_diagonal_are_the_dense_matrix_s(problem, outputs, layers):
    apply_fn, variables, x = problem
    apply_fn = apply_fn if layers else plain_function
    dense = gram(apply_fn, variables, x, outputs=outputs, dtype="float64")
    dense = dense + 0.3 * np.eye(len(dense))
    kernel = operator(
        apply_fn, variables, x, outputs=outputs, ridge=0.3, batch_size=3, dtype="float64"
    )
    vector = np.random.default_rng(1).normal(size=len(dense))
    assert kernel.shape == dense.shape
    product = kernel @ vector
    np.testing.assert_allclose(product, dense @ vector, rtol=1e-10)
    np.testing.assert_array_equal(kernel @ vector.reshape(7, -1), product.reshape(7, -1))
    np.testing.assert_allclose(kernel.diagonal().ravel(), np.diag(dense), rtol=1e-11)
    np.testing.assert_allclose(kernel.trace(), np.trace(dense), rtol=1e-11)


def test_the_two_jacobian_products_are_transposes(problem):
    kernel = operator(*problem, batch_size=4, dtype="float64")
    rng = np.random.default_rng(2)
    y = rng.normal(size=(7, 2))
    u = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), problem[1]["params"])
    back = kernel.transposed_jacobian_product(y)
    inner = sum(
        float(np.sum(np.asarray(a) * b))
        for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(u), strict=True)
    )
    np.testing.assert_allclose(np.sum(y * kernel.jacobian_product(u)), inner, rtol=1e-12)


def test_estimates_cover_the_truth_by_their_own_error_bars(problem):
    dense = gram(*problem, dtype="float64")
    kernel = operator(*problem, dtype="float64")
    trace = kernel.estimate_trace(jax.random.key(3), probes=32)
    norm = kernel.estimate_squared_frobenius_norm(jax.random.key(4), probes=32)
    for estimate, truth in ((trace, np.trace(dense)), (norm, np.sum(dense**2))):
        assert 0 < estimate.standard_error < 0.5 * truth
        assert abs(estimate.value - truth) < 4 * estimate.standard_error


def test_float32_by_default(problem):
    kernel = operator(*problem)
    product = kernel @ np.ones(14)
    assert product.dtype == np.float32
    np.testing.assert_allclose(product, gram(*problem) @ np.ones(14), rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"outputs": "trace"}, "unknown outputs 'trace'; known: full, sum"),
        ({"ridge": -1.0}, "ridge must be at least 0; got -1.0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_bad_settings_get_one_clear_line(problem, settings, message):
    with pytest.raises(InputError, match=message):
        operator(*problem, **settings)


def test_a_vector_of_another_size_is_refused(problem):
    with pytest.raises(InputError, match=r"shape \(14,\) or \(7, 2\); got \(7,\)"):
        operator(*problem) @ np.ones(7)


def test_an_error_bar_needs_two_probes(problem):
    with pytest.raises(InputError, match="probes must be at least 2"):
        operator(*problem).estimate_trace(jax.random.key(0), probes=1)
