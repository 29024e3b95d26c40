import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.analysis import agreement, fidelity
from kdtheory.analysis.teacher_fidelity import kl_divergence
from kdtheory.errors import InputError


def test_agreement_and_kl_by_hand():
    student = np.log([[0.5, 0.25, 0.25], [0.2, 0.7, 0.1]])
    teacher = np.log([[0.25, 0.5, 0.25], [0.1, 0.8, 0.1]])
    result = fidelity(student, teacher)
    assert result.agreement == 0.5
    by_hand = [
        0.25 * np.log(0.25 / 0.5) + 0.5 * np.log(0.5 / 0.25),
        0.1 * np.log(0.1 / 0.2) + 0.8 * np.log(0.8 / 0.7),
    ]
    assert result.kl == pytest.approx(np.mean(by_hand))


def test_one_logit_decides_by_sign_and_has_the_bernoulli_divergence():
    student, teacher = np.array([0.3, -2.0, 1.0]), np.array([4.0, 0.1, 1.0])
    np.testing.assert_array_equal(agreement(student, teacher), [True, False, True])
    p, q = (1 / (1 + np.exp(-z)) for z in (teacher, student))
    expected = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    np.testing.assert_allclose(kl_divergence(teacher, student), expected, atol=1e-15)
    assert fidelity(student[:, None], teacher[:, None]) == fidelity(student, teacher)


@given(st.integers(0, 1000), st.integers(1, 5), st.floats(-100, 100))
def test_perfect_student_up_to_the_logits_shift(seed, d, shift):
    teacher = np.random.default_rng(seed).normal(size=(6, d))
    student = teacher + (shift if d > 1 else 0.0)
    result = fidelity(student, teacher)
    assert result.agreement == 1
    assert result.kl == pytest.approx(0, abs=1e-12)


@given(st.integers(0, 1000), st.floats(0, 1e4))
def test_kl_is_never_negative_and_finite_for_extreme_logits(seed, scale):
    p, q = np.random.default_rng(seed).normal(size=(2, 5, 4)) * scale
    values = kl_divergence(p, q)
    assert np.isfinite(values).all()
    assert (values >= 0).all()


def test_kl_is_of_the_teacher_from_the_student():
    teacher, student = np.array([[5.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 0.0]])
    assert fidelity(student, teacher).kl == kl_divergence(teacher, student)[0]
    assert fidelity(student, teacher).kl != pytest.approx(kl_divergence(student, teacher)[0])


def test_bad_fidelity_input():
    with pytest.raises(InputError, match=r"same shape, got \(2, 3\) and \(2, 2\)"):
        fidelity(np.ones((2, 3)), np.ones((2, 2)))
    with pytest.raises(InputError, match="got none"):
        fidelity(np.ones((0, 3)), np.ones((0, 3)))
