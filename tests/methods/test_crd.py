"""Contrastive representation distillation: by hand, and the paper's bound."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.errors import InputError
from kdtheory.methods.crd import classes_of, crd, draw_negatives, nce_loss


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def joint(seed, m=4):
    """Return a joint distribution (m, m) of uniform margins, and its mutual information."""
    rng = np.random.default_rng(seed)
    permutations = [np.eye(m)[rng.permutation(m)] for _ in range(3)]
    p = np.tensordot(rng.dirichlet(np.ones(3)), permutations, axes=1) / m
    p = 0.9 * p + 0.1 / m**2
    return p, float(np.sum(p * np.log(p * m**2)))


def bound(p, critic, copies):
    """Return log K - E[loss], exactly: all others as negatives, as often as they are drawn."""
    m = len(p)
    rows = []
    for t in range(m):
        others = np.tile(critic[t], copies)
        rows += [np.concatenate([[critic[t, s]], others]) for s in range(m)]
    losses = np.asarray(nce_loss(np.log(np.stack(rows)))).reshape(m, m)
    return float(np.log(copies * m) - np.sum(p * losses))


@given(st.integers(0, 500), st.sampled_from([1, 8]))
def test_log_k_less_the_loss_is_at_most_the_mutual_information(seed, copies):
    p, information = joint(seed)
    m, rng = len(p), np.random.default_rng(seed)
    with jax.enable_x64(True):
        best = bound(p, p * m**2, copies)
        assert best <= information + 1e-9
        # Any other critic says less: the loss has its minimum at the true ratio.
        other = p * m**2 * np.exp(0.5 * rng.standard_normal((m, m)))
        assert bound(p, other, copies) < best


def test_nce_by_hand():
    r = np.exp(np.random.default_rng(0).standard_normal((3, 6)))
    h = r / (r + 5)
    wanted = -np.log(h[:, 0]) - np.log(1 - h[:, 1:]).sum(axis=1)
    with jax.enable_x64(True):
        np.testing.assert_allclose(nce_loss(np.log(r)), wanted, rtol=1e-12)


def test_negatives_are_of_every_other_class():
    labels = np.array([3, 0, 0, 5, 3, 1])
    drawn = draw_negatives(jax.random.key(0), jnp.asarray(labels), classes_of(labels), 400)
    for label, row in zip(labels, np.asarray(drawn), strict=True):
        counts = np.bincount(row, minlength=6)
        assert (counts[labels == label] == 0).all()
        rest = counts[labels != label]
        # Uniform: within five deviations of a draw.
        assert (abs(rest - 400 / len(rest)) < 5 * np.sqrt(400 / len(rest))).all()


def test_a_step_by_hand(setting):
    method = crd(setting.pair, negatives=7, width=6, weight=0.5, momentum=0.25)
    trainer = setting.trainer()
    state = trainer.initial_state(jax.random.key(0), method)
    with jax.enable_x64(True):
        step = setting.step(trainer.module, dtype=jnp.float64)
        state = setting.in_float64(state)
        method = setting.in_float64(method)
        own = state.auxiliary.variables
        losses = jax.jit(lambda *variables: method.losses(step, *variables))
        found = losses(state.variables, own)
        images, labels, indices = (np.asarray(each) for each in step.examples)
        drawn = np.asarray(draw_negatives(step.key, labels, method.classes, 7))

        def hidden(params):
            layer = params["Dense_0"]
            flat = images.reshape(len(images), -1)
            return np.maximum(flat @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"]), 0)

        def mapped(name, features):
            linear = own["params"][name]
            v = features @ np.asarray(linear["kernel"]) + np.asarray(linear["bias"])
            return v / np.linalg.norm(v, axis=1, keepdims=True)

        v = {
            "student": mapped("student", hidden(state.params)),
            "teacher": mapped("teacher", hidden(setting.teacher_variables["params"])),
        }
        bank = {name: np.asarray(own["bank"][name]) for name in v}
        contrast = 0.0
        for name, other in (("student", "teacher"), ("teacher", "student")):
            rows = np.concatenate([indices[:, None], drawn], axis=1)
            scores = np.exp(np.einsum("ne,nke->nk", v[name], bank[other][rows]) / 0.07)
            ratio = scores / scores.mean()  # n / Z, Z = n times the mean
            h = ratio / (ratio + 7)
            contrast += -np.log(h[:, 0]) - np.log(1 - h[:, 1:]).sum(axis=1)
        logits = np.asarray(trainer.module.apply(state.variables, step.examples.images))
        ce = -np.log(softmax(logits)[np.arange(len(labels)), labels])
        np.testing.assert_allclose(found.losses, ce + 0.5 * contrast, rtol=1e-5)
        for name in v:
            kept = bank[name].copy()
            mixed = 0.25 * kept[indices] + 0.75 * v[name]
            kept[indices] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
            np.testing.assert_allclose(found.own["bank"][name], kept, rtol=1e-6)
        # Z is that of the first step.
        again = losses(state.variables, {**own, "bank": found.own["bank"]})
        np.testing.assert_array_equal(again.own["bank"]["log_z"], found.own["bank"]["log_z"])


def test_what_is_refused(setting):
    with pytest.raises(InputError, match="there is one class"):
        classes_of(np.zeros(4, int))
    with pytest.raises(InputError, match=r"momentum must lie in \[0, 1\)"):
        crd(setting.pair, momentum=1.0)
    with pytest.raises(InputError, match="negatives must be an integer of at least 1"):
        crd(setting.pair, negatives=0)
    alone = dataclasses.replace(setting.pair.networks, teacher=None)
    with pytest.raises(InputError, match="needs the teacher as a network"):
        crd(dataclasses.replace(setting.pair, networks=alone))
