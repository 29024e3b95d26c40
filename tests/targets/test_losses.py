"""Losses against values worked out by hand, and the binary form against the two-class one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.targets import (
    cross_entropy,
    distillation_divergence,
    distillation_loss,
    squared_error,
)
from kdtheory.targets.losses import class_logits


def softmax(values):
    exponentials = np.exp(np.asarray(values, np.float64))
    return exponentials / exponentials.sum()


def test_cross_entropy_by_hand():
    # -log softmax((1, 2, 3))_2 = log(e^-2 + e^-1 + 1)
    value = cross_entropy(jnp.array([[1.0, 2.0, 3.0]]), jnp.array([2]))
    np.testing.assert_allclose(value, [np.log(np.exp(-2) + np.exp(-1) + 1)], rtol=1e-6)


@pytest.mark.parametrize(("label", "sign"), [(0, -1.0), (1, 1.0)])
def test_binary_cross_entropy_is_the_logistic_loss(label, sign):
    value = cross_entropy(jnp.array([[0.7]]), jnp.array([label]))
    np.testing.assert_allclose(value, [np.log1p(np.exp(-sign * 0.7))], rtol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_divergence_by_hand(temperature):
    f, g = [1.0, 0.0, -1.0], [2.0, 0.5, 0.0]
    p, q = softmax(np.divide(g, temperature)), softmax(np.divide(f, temperature))
    by_hand = temperature**2 * np.sum(p * np.log(p / q))
    value = distillation_divergence(jnp.array([f]), jnp.array([g]), temperature)
    np.testing.assert_allclose(value, [by_hand], rtol=1e-5, atol=2e-6)  # float32 cancels


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_binary_divergence_is_bernoulli(temperature):
    f, g = 0.3, -1.2
    p, q = (1 / (1 + np.exp(-z / temperature)) for z in (g, f))
    by_hand = temperature**2 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    value = distillation_divergence(jnp.array([[f]]), jnp.array([[g]]), temperature)
    np.testing.assert_allclose(value, [by_hand], rtol=1e-5, atol=2e-6)  # float32 cancels


@given(
    f=st.floats(-8, 8, width=32),
    g=st.floats(-8, 8, width=32),
    temperature=st.sampled_from([0.5, 1.0, 4.0]),
    alpha=st.sampled_from([0.0, 0.3, 1.0]),
    label=st.sampled_from([0, 1]),
)
def test_one_logit_is_the_two_class_problem(f, g, temperature, alpha, label):
    """A logit z means the two logits (0, z)."""
    one = distillation_loss(
        jnp.array([[f]], jnp.float32), jnp.array([[g]], jnp.float32), jnp.array([label]),
        alpha=alpha, temperature=temperature,
    )  # fmt: skip
    two = distillation_loss(
        jnp.array([[0.0, f]], jnp.float32), jnp.array([[0.0, g]], jnp.float32), jnp.array([label]),
        alpha=alpha, temperature=temperature,
    )  # fmt: skip
    np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-6)


def test_mixture_is_linear_in_alpha():
    f, g, y = jnp.array([[1.0, -1.0]]), jnp.array([[0.0, 2.0]]), jnp.array([0])

    def loss(alpha):
        return distillation_loss(f, g, y, alpha=alpha, temperature=4.0)

    np.testing.assert_allclose(loss(0.25), 0.75 * loss(0.0) + 0.25 * loss(1.0), rtol=1e-6)
    np.testing.assert_allclose(loss(0.0), cross_entropy(f, y), rtol=1e-6)


def test_gradient_vanishes_at_the_teacher_and_keeps_its_size_with_temperature():
    g = jnp.array([[0.02, -0.01, 0.03]])

    def gradient(f, temperature):
        return jax.grad(lambda f: distillation_divergence(f, g, temperature).sum())(f)

    np.testing.assert_allclose(gradient(g, 4.0), jnp.zeros_like(g), atol=1e-6)
    # For small logits softmax is linear: the factor tau^2 makes the gradient free of tau.
    f = jnp.zeros_like(g)
    np.testing.assert_allclose(gradient(f, 1.0), gradient(f, 8.0), rtol=0.05)


def test_losses_are_unreduced():
    f, g, y = jnp.zeros((5, 3)), jnp.ones((5, 3)), jnp.zeros(5, jnp.int32)
    assert cross_entropy(f, y).shape == (5,)
    assert distillation_loss(f, g, y, alpha=0.5, temperature=2.0).shape == (5,)
    assert squared_error(f, g).shape == (5,)
    np.testing.assert_allclose(squared_error(f, g), jnp.full(5, 1.5))


def test_class_logits_leaves_several_alone():
    assert class_logits(jnp.zeros((2, 3))).shape == (2, 3)
    assert class_logits(jnp.zeros((2, 1))).shape == (2, 2)
