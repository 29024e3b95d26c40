"""The problems and closed forms that claims are checked on."""

import numpy as np
import pytest

from kdtheory.claims.circle import FLIP, centres, draw_circle, ridge_weights, risk_on_circle
from kdtheory.claims.linearised_student import (
    displacements,
    draw_inputs,
    draw_network,
    draw_teacher,
    effective_logits,
    features,
)
from kdtheory.claims.transfer_risk import _bound, _inputs, _risk


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_risk_on_circle_is_that_of_many_draws(classes):
    rng = np.random.default_rng(classes)
    x, y = draw_circle(rng, 200_000, classes)
    for weights in (
        rng.normal(size=(2, classes)),
        ridge_weights(x[:30], y[:30], classes, ridge=0.3),
    ):
        measured = np.mean((x @ weights).argmax(axis=1) != y)
        assert risk_on_circle(weights) == pytest.approx(measured, abs=0.005)


def test_no_weights_beat_the_noise():
    assert risk_on_circle(centres(3)) == pytest.approx(FLIP)
    rng = np.random.default_rng(0)
    assert all(risk_on_circle(rng.normal(size=(2, 3))) > FLIP for _ in range(100))


def test_features_are_the_gradient():
    rng = np.random.default_rng(1)
    first, second = draw_network(rng, 6)
    x = draw_inputs(rng, 4)

    def outputs(first, second):
        return np.maximum(x @ first.T / np.sqrt(8), 0) @ second / np.sqrt(6)

    phi = features((first, second), x)
    step = 1e-6
    for j in range(6):
        changed = second.copy()
        changed[j] += step
        slope = (outputs(first, changed) - outputs(first, second)) / step
        np.testing.assert_allclose(phi[:, j], slope, atol=1e-5)
        moved = first.copy()
        moved[j, 3] += step
        slope = (outputs(moved, second) - outputs(first, second)) / step
        np.testing.assert_allclose(phi[:, 6 + 8 * j + 3], slope, atol=1e-5)


def test_displacements_are_the_norms_of_the_shortest_weights():
    rng = np.random.default_rng(2)
    network = draw_network(rng, 32)
    phi = features(network, draw_inputs(rng, 10))
    z = phi @ draw_teacher(rng, network)
    moved = displacements(phi @ phi.T, z)
    for n in (1, 4, 10):
        weights = np.linalg.lstsq(phi[:n], z[:n], rcond=None)[0]
        assert moved[n - 1] == pytest.approx(np.linalg.norm(weights))


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0])
def test_effective_logits_are_where_the_gradient_vanishes(ratio):
    teacher, labels = np.array([-30.0, -1.0, 0.0, 2.0, 30.0]), np.array([1.0, 0.0, 1.0, 1.0, 0.0])
    z = effective_logits(teacher, labels, ratio)

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    gradient = ratio * (sigmoid(z) - sigmoid(teacher)) + (1 - ratio) * (sigmoid(z) - labels)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)
    if ratio == 1:
        np.testing.assert_allclose(z, teacher, rtol=1e-12)
    if ratio <= 0.5:
        assert np.all((z > 0) == (labels > 0)) or np.any(np.isclose(z, 0, atol=1e-9))


@pytest.mark.parametrize("kappa", [0.5, 1.0, 3.0])
def test_transfer_risk_is_that_of_many_draws(kappa):
    rng = np.random.default_rng(3)
    teacher = np.eye(100)[0]
    x, angles = _inputs(rng, teacher, kappa, 40_000)
    for theta in (0.3, 1.0):
        assert np.mean(angles >= theta) == pytest.approx((1 - 2 * theta / np.pi) ** kappa, abs=0.01)
    cosines = np.abs(x @ teacher) / np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(np.arccos(np.clip(cosines, 0, 1)), angles, atol=1e-6)
    across = rng.normal(size=100)
    across[0] = 0
    across /= np.linalg.norm(across)
    for turned in (0.5, 1.4, 2.0):
        student = np.cos(turned) * teacher + np.sin(turned) * across
        measured = np.mean(np.sign(x @ student) != np.sign(x @ teacher))
        assert _risk(turned, kappa) == pytest.approx(measured, abs=0.01)


@pytest.mark.parametrize("kappa", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("n", [2, 16, 64])
def test_transfer_bound_is_within_the_polynomial_rate(kappa, n):
    """For p = (1 - 2 theta / pi)^kappa it is at most (1 + (ln n)^kappa) / n^kappa."""
    assert _bound(kappa, n) <= (1 + np.log(n) ** kappa) / n**kappa * (1 + 1e-3)
