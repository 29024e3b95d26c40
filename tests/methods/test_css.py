"""CSS: zeroed corners, joint labels, its loss by hand, and its network's kernel."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from kdtheory import models
from kdtheory.errors import InputError
from kdtheory.methods.css import (
    Branched,
    css,
    css_loss,
    css_network,
    first_own_call,
    prediction,
    without_corner,
)
from kdtheory.methods.pair import Networks
from kdtheory.ntk import gram
from kdtheory.targets.losses import distillation_divergence


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def networks(name, shape=(16, 16, 3), num_outputs=3):
    student = models.create(name, num_outputs)
    return Networks(student=student, teacher=None, image_shape=shape, num_outputs=num_outputs)


class Seen(nn.Module):
    """A network that says what its second layer is shown: a map, flattened."""

    num_outputs: int

    @nn.compact
    def __call__(self, x, train=False):
        del train
        x = nn.Conv(1, (3, 3), name="first")(x)
        x = nn.Conv(1, (1, 1), strides=1, use_bias=False, name="second")(x)
        return x.reshape(x.shape[0], -1)


def test_each_branch_is_blind_to_its_own_corner():
    model = Branched(Seen(64), num_outputs=16, own_from=1, branches=4)
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    params = variables["params"]
    # The first layer is there once, the second four times.
    assert set(params["branch_0"]) == {"first", "second"}
    assert all(set(params[f"branch_{i}"]) == {"second"} for i in (1, 2, 3))
    joint = jax.jit(functools.partial(model.apply, joint=True))(variables, images)
    joint = joint.reshape(4, 2, 8, 8)
    maps = nn.Conv(1, (3, 3)).apply({"params": params["branch_0"]["first"]}, images)
    corners = [(slice(0, 2), slice(0, 2)), (slice(0, 2), slice(6, 8)),
               (slice(6, 8), slice(0, 2)), (slice(6, 8), slice(6, 8))]  # fmt: skip
    for i, corner in enumerate(corners):
        seen = np.asarray(joint[i] / params[f"branch_{i}"]["second"]["kernel"].item())
        wanted = np.asarray(maps)[..., 0].copy()
        wanted[(slice(None), *corner)] = 0
        np.testing.assert_allclose(seen, wanted, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(np.asarray(without_corner(maps, i))[..., 0], wanted)


def test_loss_by_hand():
    rng = np.random.default_rng(0)
    f, g = rng.standard_normal((2, 3, 4, 6))
    labels = np.array([0, 1, 1, 0])
    ce = {}
    for name, z in (("f", f), ("g", g)):
        ce[name] = np.mean(
            [-np.log(softmax(z[i])[np.arange(4), 3 * labels + i]) for i in range(3)], axis=0
        )
    alpha = ce["f"].mean() / ce["g"].mean()
    p, q = softmax(g / 3), softmax(f / 3)
    wanted = ce["f"] + alpha * 9 * np.sum(p * np.log(p / q), axis=-1).mean(axis=0)
    with jax.enable_x64(True):
        for stop in (False, True):
            found = css_loss(f, g, labels, stop_gradients=stop)
            np.testing.assert_allclose(found, wanted, rtol=1e-10)

        def of(stop):
            return jax.grad(lambda g: css_loss(f, g, labels, stop_gradients=stop).mean())(g)

        assert not np.any(of(True))
        assert np.any(of(False))


@pytest.mark.parametrize("stop", [False, True])
def test_gradients_of_the_loss_are_those_of_finite_differences(stop):
    """With stopped gradients as well: the other's logits and the weight are constants then."""
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        f, g = (jnp.asarray(rng.standard_normal((3, 2, 6))) for _ in range(2))
        y = jnp.asarray([1, 0], jnp.int32)

        def mean(f, g):
            return css_loss(f, g, y, stop_gradients=stop).mean()

        if not stop:
            check_grads(mean, (f, g), order=1, modes=["rev"])
            return
        assert not np.any(jax.grad(mean, argnums=1)(f, g))
        alpha = css_loss(f, f, y).mean() / css_loss(g, g, y).mean()

        def of_constants(f):
            own = css_loss(f, f, y).mean()
            each = [distillation_divergence(f[i], g[i], 3.0).mean() for i in range(3)]
            return own + alpha * jnp.stack(each).mean()

        np.testing.assert_allclose(jax.grad(mean)(f, g), jax.grad(of_constants)(f), rtol=1e-9)


def test_joint_labels_are_undone_by_the_prediction():
    # Of branch i, output y n + i is large: together they say y.
    labels = np.array([0, 2, 1])
    joint = np.zeros((3, 3, 9), np.float32)
    for i in range(3):
        joint[i, np.arange(3), 3 * labels + i] = 5
    np.testing.assert_array_equal(prediction(joint, 3).argmax(axis=1), labels)
    assert float(css_loss(joint * 10, joint * 10, labels).max()) < 1e-6
    binary = prediction(joint[:, :, :6], 1)
    np.testing.assert_allclose(binary[:, 0], [-5, 0, 5])


def test_the_branches_begin_at_the_last_layer_that_shrinks_the_map():
    for name, shape, block in (("resnet8", (16, 16, 3), 2), ("resnet20", (16, 16, 3), 6)):
        at = first_own_call(models.create(name, 3), shape)
        assert at == 2 + block  # behind the first convolution and its norm
        variables = models.abstract_variables(css_network(networks(name)), shape)
        own = set(variables["params"]["branch_1"])
        assert own == {f"BasicBlock_{b}" for b in range(block, 3 * block // 2)} | {"Dense_0"}
    assert first_own_call(models.create("lenet5x1", 3), (32, 32, 3)) == 1


@pytest.mark.slow
def test_the_kernel_of_its_network_is_that_of_neural_tangents():
    model = css_network(networks("lenet5x1", (16, 16, 1), 1))
    variables = models.init(model, jax.random.key(0), (16, 16, 1))
    images = np.random.default_rng(0).standard_normal((3, 16, 16, 1)).astype(np.float32)
    found, reference = (
        gram(model.apply, variables, images, outputs="full", method=method)
        for method in ("auto", "neural_tangents")
    )
    np.testing.assert_allclose(found, reference, rtol=2e-4)


def test_a_step_is_symmetric(setting):
    model = css_network(networks("lenet5x1", (8, 8, 1), 10))
    trainer, method = setting.trainer(model), css()
    state = trainer.initial_state(jax.random.key(0), method)
    step = setting.step(model)
    student, peer = state.variables, state.auxiliary.variables
    losses = jax.jit(lambda a, b: method.losses(step, a, b).losses)
    one, other = losses(student, peer), losses(peer, student)
    np.testing.assert_allclose(one, other, rtol=1e-5)
    joint = jax.jit(functools.partial(model.apply, joint=True))
    f, g = (joint(v, step.examples.images) for v in (student, peer))
    wanted = sum(css_loss(a, b, step.examples.labels) for a, b in ((f, g), (g, f)))
    np.testing.assert_allclose(one, wanted, rtol=1e-5)
    assert jnp.abs(f - g).max() > 1e-3


def test_what_is_refused():
    with pytest.raises(InputError, match="MLP has no layer that makes a map"):
        css_network(networks("mlp8x1"))
    with pytest.raises(InputError, match="2 to 4 branches"):
        css_network(networks("resnet8"), branches=5)
    with pytest.raises(InputError, match="temperature"):
        css(temperature=-1.0)

    class Fixed(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            del train
            return nn.Dense(3)(nn.Conv(2, (3, 3), strides=2)(nn.Conv(2, (3, 3))(x)).mean((1, 2)))

    with pytest.raises(InputError, match="Fixed has no attribute num_outputs"):
        css_network(dataclasses.replace(networks("resnet8"), student=Fixed()))
