"""Kept convolution inputs save work and change no number."""

import contextlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models
from kdtheory.training.kept_inputs import kept_convolution_inputs


def _gradient(model: Any, kept: bool) -> Any:
    def loss(params: Any, rest: Any, images: jax.Array, step: jax.Array) -> jax.Array:
        with kept_convolution_inputs(step) if kept else contextlib.nullcontext():
            logits, _ = model.apply(
                {"params": params, **rest}, images, train=True, mutable=list(rest)
            )
        return (logits**2).mean()

    return jax.jit(jax.grad(loss))


def _arguments(model: Any, dtype: Any = jnp.float32) -> tuple[Any, ...]:
    variables = dict(models.init(model, jax.random.key(0), (16, 16, 3)))
    params = variables.pop("params")
    images = jax.random.normal(jax.random.key(1), (8, 16, 16, 3), dtype)
    return params, variables, images, jnp.int32(0)


@pytest.mark.parametrize("name", [pytest.param("resnet8", marks=pytest.mark.slow), "lenet5x1"])
def test_gradients_are_the_same(name: str) -> None:
    model = models.create(name, 3)
    arguments = _arguments(model)
    found, expected = (_gradient(model, kept)(*arguments) for kept in (True, False))
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


class Net(nn.Module):
    """The smallest network with what XLA would compute again: BatchNorm and ReLU before a layer."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        for _ in range(2):
            x = nn.Conv(4, (3, 3), use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        return x.mean((1, 2))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="it serves CPUs")
@pytest.mark.parametrize(
    "model",
    [Net(), pytest.param(models.create("resnet8", 3), marks=pytest.mark.slow)],
    ids=["two layers", "resnet8"],
)
def test_nothing_is_computed_again_for_the_backward_pass(model: nn.Module) -> None:
    arguments = _arguments(model)

    def operations(kept: bool) -> float:
        analysis: Any = _gradient(model, kept).lower(*arguments).compile().cost_analysis()
        return float((analysis[0] if isinstance(analysis, list) else analysis)["flops"])

    assert operations(True) < operations(False)
