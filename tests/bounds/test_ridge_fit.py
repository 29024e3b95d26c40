import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.analysis import margins
from kdtheory.bounds import (
    leave_one_out_predictions,
    margin_bound,
    multiclass_margin_bound,
    ridge_fit,
    ridge_margin_bound,
)
from kdtheory.complexity import factorize
from kdtheory.errors import InputError


def random_kernel(seed, n):
    x = np.random.default_rng(seed).normal(size=(n, n + 2))
    return x @ x.T / n


@given(st.integers(0, 50), st.floats(0, 5))
def test_predictions_and_norm_are_those_of_the_weights(seed, ridge):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(6, 9)), rng.normal(size=6)
    fit = ridge_fit(factorize(x @ x.T, ridge=ridge), y)
    w = x.T @ fit.coefficients
    np.testing.assert_allclose(fit.predictions, x @ w, atol=1e-8)
    assert fit.squared_norm == pytest.approx(w @ w, rel=1e-6)
    assert fit.squared_norm <= factorize(x @ x.T).complexity(y).complexity * (1 + 1e-9)


def test_stack_of_full_targets():
    gram = random_kernel(0, 6)
    y = np.random.default_rng(1).normal(size=(4, 3, 2))
    fit = ridge_fit(factorize(gram, ridge=0.3), y)
    assert fit.predictions.shape == y.shape
    single = ridge_fit(factorize(gram, ridge=0.3), y[2])
    assert fit.squared_norm[2] == pytest.approx(single.squared_norm)
    np.testing.assert_allclose(fit.predictions[2], single.predictions)
    np.testing.assert_allclose(
        single.predictions.ravel(), gram @ np.linalg.solve(gram + 0.3 * np.eye(6), y[2].ravel())
    )


@pytest.mark.parametrize("ridge", [0.0, 0.7])
@pytest.mark.parametrize("shape", [(7,), (7, 1), (3, 7)])
def test_leave_one_out_is_refitting_without_the_example(ridge, shape):
    gram = random_kernel(3, 7)
    y = np.random.default_rng(4).normal(size=shape)
    left_out = leave_one_out_predictions(factorize(gram, ridge=ridge), y)
    assert left_out.shape == shape
    for i in range(7):
        rest = np.arange(7) != i
        weights = np.linalg.solve(gram[np.ix_(rest, rest)] + ridge * np.eye(6), gram[rest, i])
        flat = y.reshape(-1, 7)
        np.testing.assert_allclose(left_out.reshape(-1, 7)[:, i], flat[:, rest] @ weights)


@pytest.mark.parametrize("ridge", [0.0, 0.7])
def test_leave_one_out_of_several_outputs_leaves_out_the_whole_example(ridge):
    n, d = 5, 3
    gram = random_kernel(5, n * d)
    y = np.random.default_rng(6).normal(size=(n, d))
    left_out = leave_one_out_predictions(factorize(gram, ridge=ridge), y)
    for i in range(n):
        mine = np.arange(i * d, (i + 1) * d)
        rest = np.setdiff1d(np.arange(n * d), mine)
        weights = np.linalg.solve(
            gram[np.ix_(rest, rest)] + ridge * np.eye(rest.size), gram[np.ix_(rest, mine)]
        )
        np.testing.assert_allclose(left_out[i], y.reshape(-1)[rest] @ weights)


def test_leave_one_out_in_several_chunks():
    """More rows than are solved for together."""
    n, d = 330, 2
    x = np.random.default_rng(7).normal(size=(n, 3))
    gram = np.exp(-((x[:, None] - x) ** 2).sum(-1))
    y = np.random.default_rng(8).normal(size=(n, d))
    full = leave_one_out_predictions(factorize(np.kron(gram, np.eye(d)), ridge=0.1), y)
    single = leave_one_out_predictions(factorize(gram, ridge=0.1), y.T)
    np.testing.assert_allclose(full, single.T, rtol=1e-8)


def test_leave_one_out_of_other_shapes_is_refused():
    with pytest.raises(InputError, match=r"targets of shape \(6,\)"):
        leave_one_out_predictions(factorize(np.eye(6)), np.ones((4, 2)))


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_ridge_margin_bound_is_the_margin_bound_of_the_fit(ridge):
    rng = np.random.default_rng(9)
    gram = random_kernel(10, 12)
    factor = factorize(gram, ridge=ridge)
    gammas = np.array([0.2, 0.4])
    options = {"gamma": gammas, "kernel_depends_on_sample": False, "delta": 0.1}
    labels = rng.integers(0, 2, 12)
    signs = 2.0 * labels - 1
    fit = ridge_fit(factor, signs)
    direct = margin_bound(
        signs * fit.predictions, squared_norm=fit.squared_norm, trace=np.trace(gram), **options
    )
    ours = ridge_margin_bound(factor, signs, labels, **options)
    np.testing.assert_allclose(ours.bound, direct.bound)
    column = ridge_margin_bound(factor, signs[:, None], labels, **options)
    np.testing.assert_array_equal(column.bound, ours.bound)

    classes = rng.integers(0, 3, 4)
    targets = np.eye(3)[classes]
    fit = ridge_fit(factor, targets)
    direct = multiclass_margin_bound(
        margins(fit.predictions, classes), squared_norm=fit.squared_norm,
        trace=np.trace(gram), **options,
    )  # fmt: skip
    ours = ridge_margin_bound(factor, targets, classes, **options)
    np.testing.assert_allclose(ours.bound, direct.bound)


def test_a_ridge_makes_the_bound_of_noisy_labels_smaller():
    rng = np.random.default_rng(11)
    x = np.sort(rng.uniform(-1, 1, 400))
    gram = np.exp(-((x[:, None] - x) ** 2))
    labels = (np.where(rng.uniform(size=400) < 0.05, -x, x) > 0).astype(int)
    bounds = [
        ridge_margin_bound(
            factorize(gram, ridge=ridge), 2.0 * labels - 1, labels, gamma=2.0 ** np.arange(-4, 1),
            kernel_depends_on_sample=False,
        ).best().bound
        for ridge in (1e-6, 1.0)
    ]  # fmt: skip
    assert bounds[1] < 0.5 * bounds[0]
