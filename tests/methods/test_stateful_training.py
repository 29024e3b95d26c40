"""Methods with variables of their own: trained in the student's step, resumed bit for bit."""

import jax
import numpy as np
import pytest
from jax.test_util import check_grads

from kdtheory.datasets import AugmentConfig
from kdtheory.errors import InputError
from kdtheory.methods.dml import dml
from kdtheory.targets import Labels


class Killed(BaseException):
    pass


def same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def moved(first, second):
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(not np.array_equal(a, b) for a, b in pairs)


def test_broken_in_the_middle_it_ends_the_same(method_and_module, setting, tmp_path):
    def killer(step, loss):
        if step == 6:
            raise Killed

    method, module = method_and_module
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


def test_own_variables_follow_the_gradient_and_in_memory_is_as_stored(
    method_and_module, setting, tmp_path
):
    method, module = method_and_module
    trainer, points = setting.train(method, module)
    stored = list(setting.train(method, module, folder=tmp_path)[1])
    same(list(points), stored)
    # The student starts where it would on labels.
    same(stored[0][1], trainer.initial_state(jax.random.key(0), Labels(10)).variables)


# Of mutual learning each network's gradient is that of its own loss: see test_dml.
@pytest.mark.parametrize(
    "method_and_module",
    ["crd", "sskd", pytest.param("css", marks=pytest.mark.slow)],
    indirect=True,
)
def test_gradients_are_those_of_finite_differences(method_and_module, setting):
    method, module = method_and_module
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
        first = jax.jit(lambda *variables: method.losses(step, *variables).own)
        own = state.auxiliary.variables
        own = {**own, **first(state.variables, own)}

        @jax.jit
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
