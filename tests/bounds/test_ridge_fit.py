import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.bounds import leave_one_out_predictions, ridge_fit
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


def test_leaving_out_a_row_of_a_full_kernel_is_refused():
    with pytest.raises(InputError, match="one output an example"):
        leave_one_out_predictions(factorize(np.eye(6)), np.ones((3, 2)))
