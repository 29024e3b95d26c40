import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.analysis import ntk_similarity
from kdtheory.errors import InputError, KernelError


def random_features(seed, shape):
    return np.random.default_rng(seed).normal(size=shape)


@given(st.integers(0, 100), st.floats(1e-6, 1e6), st.booleans())
def test_similarity_ignores_scale_and_order_of_arguments(seed, c, centred):
    a, b = (x @ x.T for x in random_features(seed, (2, 5, 3)))
    value = ntk_similarity(a, b, centred=centred)
    assert 0 <= value <= 1
    assert ntk_similarity(b, c * a, centred=centred) == pytest.approx(value)
    assert ntk_similarity(a, c * a, centred=centred) == pytest.approx(1)


def test_similarity_is_the_cosine():
    a, b = np.diag([1.0, 2.0]), np.array([[1.0, 1.0], [1.0, 1.0]])
    assert ntk_similarity(a, b) == pytest.approx(3 / (np.sqrt(5) * 2))


@given(st.integers(0, 100))
def test_centred_similarity_is_that_of_centred_features(seed):
    x, y = random_features(seed, (2, 6, 3))
    kernels = [(z - z.mean(axis=0)) @ (z - z.mean(axis=0)).T for z in (x, y)]
    shifted = [(z + 5) @ (z + 5).T for z in (x, y)]
    assert ntk_similarity(*shifted, centred=True) == pytest.approx(ntk_similarity(*kernels))


def test_full_kernels_are_centred_output_by_output():
    n, d = 4, 3
    x, y = random_features(3, (2, n, d, 7))
    centred = [(z - z.mean(axis=0)).reshape(n * d, 7) for z in (x, y)]
    raw = [z.reshape(n * d, 7) for z in (x, y)]
    expected = ntk_similarity(*(z @ z.T for z in centred))
    value = ntk_similarity(*(z @ z.T for z in raw), centred=True, num_outputs=d)
    assert value == pytest.approx(expected)


def test_float32_kernels_are_compared_in_float64():
    x = random_features(0, (50, 20)).astype(np.float32)
    assert ntk_similarity(x @ x.T, (x @ x.T).astype(np.float64)) == pytest.approx(1, abs=1e-14)


def test_bad_similarity_input():
    eye = np.eye(3)
    with pytest.raises(KernelError, match=r"got \(3, 3\) and \(2, 2\)"):
        ntk_similarity(eye, np.eye(2))
    with pytest.raises(KernelError, match="zero:"):
        ntk_similarity(eye, 0 * eye)
    with pytest.raises(KernelError, match="zero after centring"):
        ntk_similarity(eye, np.ones((3, 3)) / 3, centred=True)
    with pytest.raises(KernelError, match="NaN"):
        ntk_similarity(eye, eye * np.nan)
    with pytest.raises(InputError, match="num_outputs"):
        ntk_similarity(eye, eye, num_outputs=2)
