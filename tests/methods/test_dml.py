"""Deep mutual learning: by hand, symmetric, each network on its own loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from kdtheory.errors import InputError
from kdtheory.methods.dml import dml, dml_loss

N, D = 6, 5
LABELS = np.array([0, 4, 2, 2, 1, 3])


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def draw(seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, D)), rng.standard_normal((N, D))


def test_by_hand():
    f, g = draw(0)
    p, q = softmax(g / 2), softmax(f / 2)
    one = -np.log(softmax(f)[np.arange(N), LABELS])
    wanted = one + 3 * 4 * np.sum(p * np.log(p / q), axis=1)
    with jax.enable_x64(True):
        found = dml_loss(f, g, LABELS, weight=3.0, temperature=2.0)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_a_step_is_the_sum_of_both_and_symmetric(setting):
    method, trainer = dml(), setting.trainer()
    step = setting.step(trainer.module)
    state = trainer.initial_state(jax.random.key(0), method)
    student, peer = state.variables, state.auxiliary.variables
    one, other = (method.losses(step, a, b) for a, b in ((student, peer), (peer, student)))
    np.testing.assert_allclose(one.losses, other.losses, rtol=1e-6)
    f, g = (trainer.module.apply(v, step.examples.images) for v in (student, peer))
    wanted = dml_loss(f, g, step.examples.labels) + dml_loss(g, f, step.examples.labels)
    np.testing.assert_allclose(one.losses, wanted, rtol=1e-5)
    assert not np.allclose(f, g)  # two initialisations


def test_each_network_descends_on_its_own_loss(setting):
    """Exchanged, the two networks have each other's gradients; and those of equation 5."""
    method, trainer = dml(), setting.trainer()
    state = trainer.initial_state(jax.random.key(0), method)
    with jax.enable_x64(True):
        step = setting.step(trainer.module, dtype=jnp.float64)
        state = setting.in_float64(state)
        method = setting.in_float64(method)
        student, peer = state.variables, state.auxiliary.variables

        def mean(a, b):
            return method.losses(step, a, b).losses.mean()

        gradients = jax.jit(jax.grad(mean, argnums=(0, 1)))
        (first, second), (swapped, back) = gradients(student, peer), gradients(peer, student)
        images, labels, _ = step.examples
        g = jax.jit(trainer.module.apply)(peer, images)

        @jax.jit
        def own(variables):
            return dml_loss(trainer.module.apply(variables, images), g, labels).mean()

        def agree(a, b):
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-8), a, b)

        agree(first, back)
        agree(second, swapped)
        agree(first, jax.grad(own)(student))
        check_grads(own, (student,), order=1, modes=["rev"])


def test_what_is_refused():
    with pytest.raises(InputError, match="temperature"):
        dml(temperature=0.0)
