import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.complexity import eigendecompose, factorize, pseudo_inverse
from kdtheory.errors import InputError, KernelError


def kernel_with_spectrum(spectrum, seed=0):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(spectrum),) * 2))
    return (q * spectrum) @ q.T, q


def test_targets_in_known_eigendirections():
    spectrum = np.array([8.0, 4.0, 1.0, 0.25])
    gram, q = kernel_with_spectrum(spectrum)
    found = eigendecompose(gram)
    np.testing.assert_allclose(found.eigenvalues, spectrum)
    y = 3 * q[:, 1] + 2 * q[:, 3]
    np.testing.assert_allclose(found.energy(y), [0, 9, 0, 4], atol=1e-12)
    np.testing.assert_allclose(found.complexity_terms(y), [0, 9 / 4, 0, 16], atol=1e-12)
    terms = found.complexity_terms(np.stack([y, 2 * y]), ridge=1.0)
    np.testing.assert_allclose(terms[1], [0, 36 / 5, 0, 16 / 1.25], atol=1e-12)


@given(st.integers(0, 30), st.integers(1, 4))
def test_curve_agrees_with_a_factorisation_at_each_ridge(seed, d):
    rng = np.random.default_rng(seed)
    gram, _ = kernel_with_spectrum(rng.uniform(0.1, 3, size=4 * d), seed)
    y = rng.normal(size=(3, 4, d))
    ridges = np.array([0.0, 1e-3, 2.0])
    curve = eigendecompose(gram).curve(y, ridges)
    for i, ridge in enumerate(ridges):
        exact = factorize(gram, ridge=float(ridge)).complexity(y)
        np.testing.assert_allclose(curve.complexity[:, i], exact.complexity)
        np.testing.assert_allclose(curve.adjusted[:, i], exact.adjusted)
    assert curve.effective_dimension[0] == pytest.approx(4 * d)
    assert np.all(np.diff(curve.effective_dimension) < 0)
    assert eigendecompose(gram).curve(y[0], ridges).complexity.shape == (3,)


def test_effective_dimension_of_a_projection_is_half_its_rank_at_ridge_one():
    gram, q = kernel_with_spectrum(np.array([1.0, 1, 1, 0, 0]))
    curve = eigendecompose(gram).curve(q[:, 0], np.array([1.0]))
    assert curve.effective_dimension[0] == pytest.approx(1.5)


def test_pseudo_inverse_reports_rank_and_lost_energy():
    gram, q = kernel_with_spectrum(np.array([4.0, 1.0, 0.0, 0.0]))
    y = 2 * q[:, 0] + q[:, 1] + 3 * q[:, 3]
    result = pseudo_inverse(gram, y)
    assert result.rank == 2
    assert result.complexity == pytest.approx(2)
    assert result.lost_energy == pytest.approx(9 / 14)
    assert result.adjusted == pytest.approx(np.sqrt(2 * 5) / 4)
    stack = pseudo_inverse(gram, np.stack([y, np.zeros(4)]))
    np.testing.assert_allclose(stack.lost_energy, [9 / 14, 0])


def test_pseudo_inverse_of_a_float32_kernel_stops_at_float32():
    spectrum = np.array([1.0, 1e-2, 1e-9])
    gram, q = kernel_with_spectrum(spectrum)
    y = q.sum(axis=1)
    assert pseudo_inverse(gram, y).rank == 3
    assert pseudo_inverse(gram.astype(np.float32), y).rank == 2
    assert pseudo_inverse(gram, y, threshold=0.5).rank == 1


def test_without_a_threshold_to_cut_it_is_the_inverse():
    gram, _ = kernel_with_spectrum(np.linspace(0.5, 2, 6))
    y = np.ones((3, 2))
    exact = factorize(gram).complexity(y)
    result = pseudo_inverse(gram, y)
    assert (result.complexity, result.adjusted) == pytest.approx((exact.complexity, exact.adjusted))


def test_unusable_spectra_are_refused():
    singular, _ = kernel_with_spectrum(np.array([1.0, 0.0, 0.0]))
    spectrum = eigendecompose(singular)
    with pytest.raises(KernelError, match=r"singular at the precision of float64 .* ridge >="):
        spectrum.curve(np.ones(3), np.array([1.0, 0.0]))
    assert spectrum.curve(np.ones(3), np.array([1.0])).complexity.shape == (1,)
    with pytest.raises(KernelError, match=r"indefinite: its smallest eigenvalue is -0\.5 "):
        eigendecompose(np.array([[1.0, 1.5], [1.5, 1.0]]))
    with pytest.raises(KernelError, match=r"indefinite: diagonal entry 1 is -0\.5 "):
        eigendecompose(np.diag([1.0, -0.5]))
    with pytest.raises(InputError, match="ridges"):
        spectrum.curve(np.ones(3), np.array([-1.0]))
    with pytest.raises(InputError, match="threshold"):
        spectrum.pseudo_inverse(np.ones(3), threshold=-1.0)
    with pytest.raises(InputError, match="num_outputs"):
        eigendecompose(singular, num_outputs=2)
