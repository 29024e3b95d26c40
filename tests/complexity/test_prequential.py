import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.complexity import (
    factorize,
    prequential_fit,
    prequential_fit_of_features,
    prequential_fit_of_rows,
)
from kdtheory.errors import InputError, KernelError


def features_and_targets(n, p, d, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)), rng.normal(size=(n,) if d == 0 else (n, d))


def refitted(gram, y, ridge, d):
    """f_{i-1}(x_i) by fitting n times; the kernel has d rows an example."""
    n = len(gram) // d
    flat = y.reshape(n * d, -1)
    predictions = np.zeros_like(flat)
    for i in range(1, n):
        past, now = slice(0, i * d), slice(i * d, (i + 1) * d)
        a = np.linalg.solve(gram[past, past] + ridge * np.eye(i * d), flat[past])
        predictions[now] = gram[now, past] @ a
    return predictions.reshape(y.shape)


@given(st.integers(1, 25), st.integers(1, 6), st.integers(0, 3), st.integers(0, 99))
def test_chain_rule_is_what_refitting_gives(n, p, d, seed):
    phi, y = features_and_targets(n, p, d, seed)
    gram, ridge = phi @ phi.T, 0.3
    factor = factorize(gram, ridge=ridge)
    fit = prequential_fit(factor, y)
    np.testing.assert_allclose(fit.predictions, refitted(gram, y, ridge, 1), atol=1e-9)
    columns = y.reshape(n, -1).T
    complexity = sum(factor.complexity(column).complexity for column in columns)
    assert fit.complexity == pytest.approx(complexity, rel=1e-9)
    residuals = ((y - fit.predictions) ** 2).reshape(n, -1).sum(axis=1)
    np.testing.assert_allclose(residuals / fit.variance, fit.losses, rtol=1e-9, atol=1e-12)
    assert np.all(fit.variance <= ridge + np.diag(gram) + 1e-12)


@pytest.mark.parametrize("d", [2, 3])
def test_an_examples_own_other_outputs_have_no_part_in_its_prediction(d):
    rng = np.random.default_rng(d)
    jacobian = rng.normal(size=(9 * d, 50))
    gram, y = jacobian @ jacobian.T, rng.normal(size=(9, d))
    fit = prequential_fit(factorize(gram, ridge=0.1), y)
    np.testing.assert_allclose(fit.predictions, refitted(gram, y, 0.1, d), atol=1e-8)
    assert fit.complexity == pytest.approx(
        factorize(gram, ridge=0.1).complexity(y).complexity, rel=1e-9
    )


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
@pytest.mark.parametrize("d", [0, 3])
def test_features_and_rows_give_what_the_factor_gives(block, d):
    phi, y = features_and_targets(100, 5, d, 1)
    gram = phi @ phi.T
    expected = prequential_fit(factorize(gram, ridge=0.5), y)
    for found in (
        prequential_fit_of_features(phi, y, ridge=0.5, block=block),
        prequential_fit_of_rows(
            lambda i, j: gram[i:j, :j], y, ridge=0.5, block=block, dtype=np.float64
        ),
    ):
        np.testing.assert_allclose(found.predictions, expected.predictions, atol=1e-9)
        np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-9)
        assert found.complexity == pytest.approx(expected.complexity, rel=1e-9)
        assert found.ridge == 0.5


def test_rows_are_asked_for_once_as_far_as_the_diagonal_and_kept_in_float32():
    phi, y = features_and_targets(50, 5, 0, 2)
    gram = phi @ phi.T
    asked = []

    def rows(i, j):
        asked.append((i, j))
        return gram[i:j, :j].astype(np.float32)

    fit = prequential_fit_of_rows(rows, y, ridge=1.0, block=20)
    assert asked == [(0, 20), (20, 40), (40, 50)]
    expected = prequential_fit(factorize(gram, ridge=1.0), y)
    np.testing.assert_allclose(fit.predictions, expected.predictions, atol=1e-4)


def test_order_changes_the_parts_and_not_the_sum():
    phi, y = features_and_targets(40, 5, 0, 3)
    order = np.random.default_rng(0).permutation(40)
    first = prequential_fit_of_features(phi, y, ridge=0.5)
    second = prequential_fit_of_features(phi[order], y[order], ridge=0.5)
    assert second.complexity == pytest.approx(first.complexity, rel=1e-10)
    assert np.abs(second.losses - first.losses[order]).max() > 0.1


def test_bad_input():
    factor = factorize(np.eye(4))
    for targets in (np.ones(3), np.ones((1, 4)), np.ones((5, 2)), np.ones((2, 2, 1))):
        with pytest.raises(InputError, match="prequential predictions need targets of shape"):
            prequential_fit(factor, targets)
    with pytest.raises(InputError, match="NaN or infinite"):
        prequential_fit_of_features(np.eye(2), np.array([1.0, np.nan]), ridge=1.0)
    with pytest.raises(InputError, match=r"targets must have shape \(2,\)"):
        prequential_fit_of_features(np.eye(2), np.ones(3), ridge=1.0)
    with pytest.raises(InputError, match="finite ridge > 0"):
        prequential_fit_of_features(np.eye(2), np.ones(2), ridge=0.0)
    with pytest.raises(KernelError, match="no Cholesky factor at rows 0 to 2"):
        prequential_fit_of_rows(lambda i, j: -np.eye(2)[i:j, :j], np.ones(2), ridge=0.5)
    with pytest.raises(KernelError, match=r"must be finite, of shape \(2, 2\), got \(1, 2\)"):
        prequential_fit_of_rows(lambda i, j: np.ones((1, 2)), np.ones(2), ridge=0.5)
