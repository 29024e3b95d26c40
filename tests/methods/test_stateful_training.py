"""Methods with variables of their own: trained in the student's step, resumed bit for bit."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from kdtheory.datasets import AugmentConfig
from kdtheory.errors import InputError
from kdtheory.methods.crd import crd
from kdtheory.methods.css import css, css_network
from kdtheory.methods.dml import dml
from kdtheory.methods.sskd import Head, sskd
from kdtheory.targets import Labels

METHODS = {
    "dml": lambda setting: (dml(), None),
    "crd": lambda setting: (crd(setting.pair, negatives=12, width=6), None),
    "sskd": lambda setting: (sskd(with_head(setting.pair)), None),
    "css": lambda setting: (css(), css_network(convolutional(setting.pair.networks))),
}


#: Each branch of css compiles its own copy of the network: its loss and its step are tested quickly
#: in test_css.
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name == "css")) for name in METHODS]


def with_head(pair):
    width = 12
    return dataclasses.replace(
        pair, stage=Head(width).init(jax.random.key(9), jnp.zeros((1, width)))
    )


class Small(nn.Module):
    """Two convolutions, the second of which makes the map smaller."""

    num_outputs: int

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(2, (3, 3))(x)))
        x = nn.relu(nn.Conv(3, (3, 3), strides=2)(x)).mean(axis=(1, 2))
        return nn.Dense(self.num_outputs)(x)


def convolutional(networks):
    return dataclasses.replace(networks, student=Small(10))


class Killed(BaseException):
    pass


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def moved(first, second):
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(not np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_broken_in_the_middle_it_ends_the_same(name, setting, tmp_path):
    def killer(step, loss):
        if step == 6:
            raise Killed

    method, module = METHODS[name](setting)
    losses = []
    trainer, points = setting.train(
        method, module, folder=tmp_path / "whole", on_step=lambda _, loss: losses.append(loss)
    )
    whole = list(points)
    assert np.isfinite(losses).all()
    with pytest.raises(Killed):
        list(setting.train(method, module, folder=tmp_path / "broken", on_step=killer)[1])
    made = []
    again = list(
        setting.train(
            method, module, folder=tmp_path / "broken",
            on_step=lambda step, loss: made.append((step, loss)),
        )[1]
    )  # fmt: skip
    # Had the method's own variables or their optimiser not come along, these would differ.
    assert made == [(6, losses[5]), (7, losses[6]), (8, losses[7])]
    same(whole, again)
    if method.has_peer:
        first, last = (
            trainer.stored_auxiliary(method, tmp_path / "broken", step) for step in (0, 8)
        )
        assert moved(first["params"], last["params"])
    else:
        assert not (tmp_path / "broken" / "auxiliary").exists()


@pytest.mark.parametrize("name", NAMES)
def test_own_variables_follow_the_gradient_and_in_memory_is_as_stored(name, setting, tmp_path):
    method, module = METHODS[name](setting)
    trainer, points = setting.train(method, module)
    stored = list(setting.train(method, module, folder=tmp_path)[1])
    same(list(points), stored)
    # The student starts where it would on labels.
    same(stored[0][1], trainer.initial_state(jax.random.key(0), Labels(10)).variables)


# Of mutual learning each network's gradient is that of its own loss: see test_dml.
@pytest.mark.parametrize("name", NAMES[1:])
def test_gradients_are_those_of_finite_differences(name, setting):
    method, module = METHODS[name](setting)
    trainer = setting.trainer(module)
    state = trainer.initial_state(jax.random.key(3), method)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):  # BatchNorm mixes them
        state = setting.in_float64(state)
        step, method = setting.step(trainer.module, dtype=np.float64), setting.in_float64(method)
        # Off the kinks (where a map is zero, ReLU has no slope) and behind a first step, which
        # sets constants; eps is so small that it crosses no other kink.
        rng = np.random.default_rng(0)
        params, own_params = jax.tree.map(
            lambda x: x + 0.1 * rng.standard_normal(x.shape),
            (state.params, state.auxiliary.variables["params"]),
        )
        first = method.losses(step, state.variables, state.auxiliary.variables)
        own = {**state.auxiliary.variables, **first.own}

        def mean(params, own_params):
            student = {**state.variables, "params": params}
            return method.losses(step, student, {**own, "params": own_params}).losses.mean()

        check_grads(mean, (params, own_params), order=1, modes=["rev"], eps=1e-6)


def test_what_is_refused(setting):
    trainer = setting.trainer(augmentation=AugmentConfig(mixup=0.3))
    data = trainer.place(setting.dataset.train, mean=setting.dataset.mean, std=setting.dataset.std)
    keys = {"init_key": jax.random.key(0), "train_key": jax.random.key(1)}
    with pytest.raises(InputError, match="needs images that are not mixed"):
        trainer.train(dml(), data, points=[0], **keys)
    trainer = setting.trainer()
    with pytest.raises(InputError, match="train one by one"):
        trainer.train_many(
            [dml(), dml()], data, init_keys=[keys["init_key"]] * 2,
            train_keys=[keys["train_key"]] * 2, points=[0], names=["a", "b"],
        )  # fmt: skip
