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
@pytest.mark.parametrize("keep", [True, False])
def test_products_trace_and_diagonal_are_the_dense_matrix_s(problem, outputs, layers, keep):
    apply_fn, variables, x = problem
    apply_fn = apply_fn if layers else plain_function
    dense = gram(apply_fn, variables, x, outputs=outputs, dtype="float64")
    dense = dense + 0.3 * np.eye(len(dense))
    kernel = operator(
        apply_fn, variables, x, outputs=outputs, ridge=0.3, batch_size=3,
        keep_linearization=keep, dtype="float64",
    )  # fmt: skip
    vector = np.random.default_rng(1).normal(size=len(dense))
    assert kernel.shape == dense.shape
    product = kernel @ vector
    np.testing.assert_allclose(product, dense @ vector, rtol=1e-10)
    np.testing.assert_array_equal(kernel @ vector.reshape(7, -1), product.reshape(7, -1))
    np.testing.assert_allclose(kernel.diagonal().ravel(), np.diag(dense), rtol=1e-11)
    np.testing.assert_allclose(kernel.trace(), np.trace(dense), rtol=1e-11)


@pytest.mark.parametrize("outputs", ["full", "sum"])
def test_the_reference_is_selectable(problem, outputs):
    settings = {"outputs": outputs, "ridge": 0.2, "dtype": "float64"}
    ours = operator(*problem, **settings)
    reference = operator(*problem, **settings, method="neural_tangents")
    vector = np.random.default_rng(3).normal(size=(7, ours.num_outputs))
    np.testing.assert_allclose(ours @ vector, reference @ vector, rtol=1e-11)
    np.testing.assert_allclose(ours.diagonal(), reference.diagonal(), rtol=1e-11)


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


@pytest.mark.parametrize("keep", [True, False])
def test_flat_products_are_those_with_the_jacobian(problem, keep):
    """The last batch is padded: the padding must not be counted in J^T w."""
    kernel = operator(*problem, batch_size=4, keep_linearization=keep, dtype="float64")
    jacobian = kernel.jacobian
    rng = np.random.default_rng(5)
    u, y = rng.normal(size=jacobian.shape[1]), rng.normal(size=jacobian.shape[0])
    dense = np.stack([jacobian.matvec(e) for e in np.eye(jacobian.shape[1])], axis=1)
    np.testing.assert_allclose(dense @ dense.T, gram(*problem, dtype="float64"), rtol=1e-9)
    np.testing.assert_allclose(jacobian.rmatvec(y), y @ dense, rtol=1e-11)
    w, back = jacobian.residual(u, y, -0.7)
    np.testing.assert_allclose(w, dense @ u - 0.7 * y, rtol=1e-11)
    np.testing.assert_allclose(back, w @ dense, rtol=1e-11)
    np.testing.assert_allclose(
        kernel.jacobian_product(jacobian.unravel(u)).ravel(), dense @ u, rtol=1e-11
    )


def test_sums_over_batches_do_not_lose_digits_with_their_number():
    """2,001 batches of one: summed plainly in float32, J^T y would be off by 6e-7."""
    model = nn.Dense(1, use_bias=False)
    x = np.random.default_rng(0).uniform(0.5, 1.5, size=(2001, 1)).astype(np.float32)
    kernel = operator(model.apply, model.init(jax.random.key(0), x), x, batch_size=1)
    exact = float(x.astype(np.float64).sum())
    assert abs(kernel.jacobian.rmatvec(np.ones(2001))[0] / exact - 1) < 6e-8
    plain = np.float32(0)
    for value in x[:, 0]:
        plain += value
    assert abs(float(plain) / exact - 1) > 4e-7


def test_a_batch_is_compiled_once(problem):
    traces = []

    def counted(variables, x):
        traces.append(x.shape)
        return problem[0](variables, x)

    kernel = operator(counted, *problem[1:], batch_size=3)
    kernel @ np.ones(14)
    before = len(traces)
    kernel @ np.ones(14)
    assert len(traces) == before


def test_a_linearisation_that_does_not_fit_is_refused(problem, monkeypatch):
    monkeypatch.setattr("kdtheory.memory.available", lambda: 1000)
    with pytest.raises(InputError, match=r"keep_linearization for 7 examples needs"):
        operator(*problem, keep_linearization=True)


def test_vectors_of_another_size_are_refused_by_the_jacobian(problem):
    jacobian = operator(*problem).jacobian
    with pytest.raises(InputError, match=r"direction must have shape \(89,\); got \(3,\)"):
        jacobian.matvec(np.ones(3))
    with pytest.raises(InputError, match=r"vector must have shape \(14,\)"):
        jacobian.rmatvec(np.ones(3))


def test_estimates_cover_the_truth_by_their_own_error_bars(problem):
    dense = gram(*problem, dtype="float64")
    kernel = operator(*problem, dtype="float64")
    trace = kernel.estimate_trace(jax.random.key(3), probes=32)
    norm = kernel.estimate_squared_frobenius_norm(jax.random.key(4), probes=32)
    root = kernel.estimate_frobenius_norm(jax.random.key(4), probes=32)
    assert root.value == pytest.approx(np.sqrt(norm.value))
    cases = (trace, np.trace(dense)), (norm, np.sum(dense**2)), (root, np.linalg.norm(dense))
    for estimate, truth in cases:
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
        ({"method": "layerwise"}, "unknown method .layerwise.; known: auto, neural_tangents"),
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
