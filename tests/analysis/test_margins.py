import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kdtheory.analysis import decisions, margins
from kdtheory.errors import InputError

logit_arrays = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(2, 5)),
    elements=st.floats(-1e6, 1e6),
)


@given(logit_arrays, st.integers(0, 100))
def test_multiclass_margin_is_the_definition(logits, seed):
    n, d = logits.shape
    labels = np.random.default_rng(seed).integers(0, d, size=n)
    expected = [
        f[y] - max(f[c] for c in range(d) if c != y) for f, y in zip(logits, labels, strict=True)
    ]
    np.testing.assert_array_equal(margins(logits, labels), expected)


@given(logit_arrays)
def test_a_positive_margin_is_a_right_decision(logits):
    n, d = logits.shape
    for label in range(d):
        rho = margins(logits, np.full(n, label))
        assert np.all(decisions(logits)[rho > 0] == label)
        assert np.all(decisions(logits)[rho < 0] != label)


def test_one_logit_is_two_logits_with_the_other_at_zero():
    f = np.array([2.0, -1.0, 0.5])
    labels = np.array([1, 1, 0])
    two = np.stack([np.zeros(3), f], axis=1)
    np.testing.assert_array_equal(margins(f, labels), [2, -1, -0.5])
    np.testing.assert_array_equal(margins(f[:, None], labels), margins(two, labels))


def test_jax_arrays():
    rho = margins(jnp.array([[1.0, 3.0]]), jnp.array([1]))
    assert rho.dtype == np.float64
    assert rho[0] == 2


def test_bad_margins_input():
    with pytest.raises(InputError, match=r"class indices 0\.\.1, got -1\.\.1"):
        margins(np.ones(2), np.array([-1, 1]))
    with pytest.raises(InputError, match=r"class indices 0\.\.2, got 0\.\.3"):
        margins(np.ones((2, 3)), np.array([0, 3]))
    with pytest.raises(InputError, match="NaN"):
        margins(np.array([np.nan, 1.0]), np.array([0, 1]))
    with pytest.raises(InputError, match=r"\(n,\) or \(n, d\)"):
        decisions(np.ones((2, 0)))
