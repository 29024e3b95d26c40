"""DKD, DIST and logit standardisation: hand calculations, and what their papers say of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from kdtheory import datasets, training
from kdtheory.errors import InputError
from kdtheory.methods import dist, dkd, logit_standardisation
from kdtheory.methods.dist import dist_loss
from kdtheory.methods.dkd import dkd_loss, dkd_terms
from kdtheory.methods.logit_standardisation import standardise
from kdtheory.targets import (
    Examples,
    Labels,
    cross_entropy,
    distillation_divergence,
    soft_targets,
    tabulate,
    tabulated,
)

N, D = 6, 5
LABELS = np.array([0, 4, 2, 2, 1, 3])


def draw(seed, d=D, scale=3.0):
    rng = np.random.default_rng(seed)
    return scale * rng.standard_normal((N, d)), scale * rng.standard_normal((N, d))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def kl(p, q):
    return np.sum(p * np.log(p / q), axis=-1)


def test_dkd_by_hand():
    f, g = draw(0)
    tau, alpha, beta = 4.0, 1.5, 8.0
    wanted = []
    for i, y in enumerate(LABELS):
        p, q = softmax(g[i] / tau), softmax(f[i] / tau)
        target = kl(np.array([p[y], 1 - p[y]]), np.array([q[y], 1 - q[y]]))
        p_rest, q_rest = np.delete(p, y) / (1 - p[y]), np.delete(q, y) / (1 - q[y])
        wanted.append(tau**2 * (alpha * target + beta * kl(p_rest, q_rest)))
    with jax.enable_x64(True):
        found = dkd_loss(f, g, LABELS, alpha=alpha, beta=beta, temperature=tau)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


@given(st.integers(0, 1000), st.sampled_from([0.5, 1.0, 4.0]))
def test_dkd_with_the_weights_of_its_equation_6_is_hintons_loss(seed, tau):
    f, g = draw(seed)
    with jax.enable_x64(True):
        target, other, mass = dkd_terms(f, g, LABELS, temperature=tau)
        hinton = distillation_divergence(f, g, tau)
        np.testing.assert_allclose(tau**2 * (target + mass * other), hinton, rtol=1e-10)


def test_dkd_of_two_classes_is_hintons_loss_whatever_beta():
    f, g = draw(1, d=1)
    labels = LABELS % 2
    with jax.enable_x64(True):
        found = dkd_loss(f, g, labels, beta=100.0, temperature=2.0)
        np.testing.assert_allclose(found, distillation_divergence(f, g, 2.0), rtol=1e-10)


def test_dkd_of_a_certain_teacher_is_finite():
    f, g = draw(2, scale=300.0)
    value, gradient = jax.value_and_grad(lambda f: dkd_loss(f, g, LABELS).sum())(
        jnp.asarray(f, jnp.float32)
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_dist_by_hand():
    f, g = draw(3)
    beta, gamma, tau = 2.0, 3.0, 4.0
    q, p = softmax(f / tau), softmax(g / tau)
    inter = [1 - np.corrcoef(q[i], p[i])[0, 1] for i in range(N)]
    intra = np.mean([1 - np.corrcoef(q[:, c], p[:, c])[0, 1] for c in range(D)])
    with jax.enable_x64(True):
        found = dist_loss(f, g, beta=beta, gamma=gamma, temperature=tau)
        np.testing.assert_allclose(found, tau**2 * (beta * np.array(inter) + gamma * intra))


@given(st.floats(0.1, 0.9))
def test_dist_is_zero_where_the_predictions_are_a_positive_affine_map(slope):
    g, _ = draw(4)
    p = softmax(g)
    q = slope * p + (1 - slope) / D  # rows still sum to one
    with jax.enable_x64(True):
        np.testing.assert_allclose(dist_loss(np.log(q), np.log(p), temperature=1.0), 0, atol=1e-12)
        # Hinton's divergence is not.
        assert float(distillation_divergence(np.log(q), np.log(p), 1.0).min()) > 1e-6


def test_dist_to_constant_predictions_is_one_and_has_a_gradient():
    f = jnp.zeros((3, D))
    g = jnp.asarray(draw(5)[1][:3], jnp.float32)
    value, gradient = jax.value_and_grad(
        lambda f: dist_loss(f, g, beta=1.0, gamma=1.0, temperature=1.0).mean()
    )(f)
    assert float(value) == pytest.approx(2.0)
    assert np.isfinite(gradient).all()


@given(st.floats(0.01, 100), st.floats(-100, 100))
def test_standardised_logits_know_neither_shift_nor_scale(scale, shift):
    f, _ = draw(6)
    with jax.enable_x64(True):
        z = standardise(f)
        np.testing.assert_allclose(standardise(scale * f + shift), z, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.asarray(z).std(axis=1, ddof=1), 1, rtol=1e-6)


def test_logit_standardisation_by_hand():
    f, g = (jnp.asarray(values, jnp.float32) for values in draw(7))
    examples = Examples(jnp.zeros((N, 1)), jnp.asarray(LABELS), jnp.arange(N))

    def z(values):
        values = np.asarray(values, np.float64)
        deviation = values.std(axis=1, ddof=1, keepdims=True)
        return (values - values.mean(axis=1, keepdims=True)) / (deviation + 1e-7)

    teacher = tabulated(tabulate([g], [1]))
    found = logit_standardisation(teacher, temperature=3.0, weight=5.0).loss(f, 1, examples)
    one = np.log(softmax(np.asarray(f, np.float64)))[np.arange(N), LABELS]
    wanted = -0.1 * one + 5 * 9 * kl(softmax(z(g) / 3), softmax(z(f) / 3))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_logit_standardisation_refuses_two_classes_and_takes_equal_logits():
    for logits in (jnp.ones((2, 1)), jnp.ones((2, 2))):
        with pytest.raises(InputError, match="at least 3 classes"):
            standardise(logits)
    gradient = jax.grad(lambda z: standardise(z)[0, 0])(jnp.ones((1, 3)))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("make", [dkd, dist, logit_standardisation])
def test_gradients_are_those_of_finite_differences(make):
    f, g = draw(8, scale=1.0)
    with jax.enable_x64(True):
        examples = Examples(jnp.zeros((N, 1)), jnp.asarray(LABELS), jnp.arange(N))
        teacher = tabulated(tabulate([g], [1]))
        method = jax.tree.map(
            lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x,
            make(teacher),
        )
        check_grads(lambda f: method.loss(f, 1, examples).mean(), (jnp.asarray(f),), order=1)


@pytest.mark.parametrize(
    ("make", "shown"),
    [(dkd, jnp.asarray), (dist, jnp.asarray), (logit_standardisation, standardise)],
)
def test_a_method_trains_a_student_and_shows_the_teachers_targets(make, shown):
    data = datasets.load("synthetic", train_size=64, validation_size=16, test_size=16)
    _, g = draw(9, d=data.num_outputs)
    table = np.resize(g, (64, data.num_outputs)).astype(np.float32)
    table[np.arange(64), data.train.labels] += 5  # a teacher at chance is warned of
    teacher = tabulated(tabulate([table, 2 * table], [2, 8]), temperature=2.0)
    method = make(teacher)
    examples = Examples(
        jnp.zeros((3, 1)), jnp.asarray(data.train.labels[:3]), jnp.arange(3, dtype=jnp.int32)
    )
    for step in (1, 5):
        logits = shown(teacher.logits(step, examples))
        np.testing.assert_array_equal(method.targets(step, examples), soft_targets(logits, 2.0))
    result = training.fit(
        "mlp8x1", data, targets=method, epochs=20, batch_size=16, key=jax.random.key(0)
    )
    assert result.history[-1].loss < result.history[0].loss


def test_dkd_warms_up():
    f, g = (jnp.asarray(values, jnp.float32) for values in draw(10))
    examples = Examples(jnp.zeros((N, 1)), jnp.asarray(LABELS), jnp.arange(N))
    method = dkd(tabulated(tabulate([g], [1])), warmup_steps=10, beta=3.0)
    alone = cross_entropy(f, LABELS)
    distilled = dkd_loss(f, g, LABELS, beta=3.0)
    for step, share in ((1, 0.1), (5, 0.5), (10, 1.0), (40, 1.0)):
        np.testing.assert_allclose(
            method.loss(f, step, examples), alone + share * distilled, rtol=1e-5
        )


def test_what_is_refused():
    with pytest.raises(InputError, match="dkd distils a teacher"):
        dkd(Labels(3))
    teacher = tabulated(tabulate([np.zeros((2, 3))], [1]))
    with pytest.raises(InputError, match="beta must be at least 0"):
        dkd(teacher, beta=-1.0)
    with pytest.raises(InputError, match="gamma must be at least 0"):
        dist(teacher, gamma=float("nan"))
    with pytest.raises(InputError, match="temperature"):
        logit_standardisation(teacher, temperature=0.0)
    with pytest.raises(InputError, match="warmup_steps"):
        dkd(teacher, warmup_steps=0)
