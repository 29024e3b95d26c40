"""Depthwise convolutions as shifted products are XLA's grouped convolutions."""

import functools
from typing import Any

import flax.linen as nn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models, ntk
from kdtheory.models.depthwise import depthwise_conv


def _grouped(channels: int, **settings: object) -> tuple[Any, Any]:
    plain = nn.Conv(channels, feature_group_count=channels, param_dtype=jnp.float64, **settings)  # type: ignore[arg-type]
    return plain, plain.clone(conv_general_dilated=depthwise_conv)


@hypothesis.settings(deadline=None, max_examples=6)
@hypothesis.given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.integers(1, 2),
    padding=st.sampled_from(["SAME", "VALID", 2, ((0, 1), (3, 2)), "CIRCULAR"]),
    side=st.integers(8, 10),
)
def test_is_the_grouped_convolution_and_so_are_its_derivatives(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilation: int,
    padding: object,
    side: int,
) -> None:
    with jax.enable_x64(True):
        plain, shifted = _grouped(
            3, kernel_size=kernel, strides=strides, kernel_dilation=dilation, padding=padding
        )
        rng = np.random.default_rng(0)
        images = rng.normal(size=(2, side, 8, 3))
        weights = {"kernel": rng.normal(size=(*kernel, 1, 3)), "bias": rng.normal(size=3)}

        @functools.partial(jax.jit, static_argnums=0)
        def pulled(conv: nn.Conv, variables: Any, images: jax.Array) -> Any:
            value, pull = jax.vjp(conv.apply, variables, images)
            cotangent = jnp.cos(jnp.arange(value.size, dtype=value.dtype)).reshape(value.shape)
            return value, pull(cotangent)

        found, expected = (pulled(conv, {"params": weights}, images) for conv in (shifted, plain))
        for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


def test_one_spatial_axis() -> None:
    with jax.enable_x64(True):
        plain, shifted = _grouped(4, kernel_size=(3,), padding="CAUSAL")
        signals = jax.random.normal(jax.random.key(0), (2, 7, 4), jnp.float64)
        variables = plain.init(jax.random.key(1), signals)
        np.testing.assert_allclose(
            shifted.apply(variables, signals),
            plain.apply(variables, signals),
            rtol=1e-12,
            atol=1e-12,
        )


@pytest.mark.parametrize(
    "settings",
    [
        {"features": 6, "feature_group_count": 3},  # two filters a channel
        {"features": 6, "feature_group_count": 1},
        {"features": 3, "feature_group_count": 3, "input_dilation": 2, "padding": 1},
    ],
)
def test_what_is_not_depthwise_is_left_to_xla(settings: dict[str, int]) -> None:
    plain = nn.Conv(kernel_size=(3, 3), **settings)  # type: ignore[arg-type]
    shifted = plain.clone(conv_general_dilated=depthwise_conv)
    images = jax.random.normal(jax.random.key(0), (2, 6, 6, 3))
    variables = plain.init(jax.random.key(1), images)
    np.testing.assert_array_equal(shifted.apply(variables, images), plain.apply(variables, images))


def test_models_with_depthwise_layers_run_no_grouped_convolution_on_cpu() -> None:
    model = models.create("mobilenet_v2_x0.5", 10)
    images = jnp.zeros((2, 32, 32, 3))
    variables = models.abstract_variables(model, (32, 32, 3))
    text = jax.jit(model.apply).lower(variables, images).as_text()
    if jax.default_backend() == "cpu":
        assert "feature_group_count = 32" not in text
    assert "convolution" in text


def test_layerwise_kernels_know_them() -> None:
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            x = nn.Conv(
                3, (3, 3), strides=2, feature_group_count=3, conv_general_dilated=depthwise_conv,
                param_dtype=jnp.float64,
            )(x)  # fmt: skip
            return nn.Dense(1, param_dtype=jnp.float64)(nn.tanh(x).reshape(len(x), -1))

    with jax.enable_x64(True):
        net = Net()
        images = jax.random.normal(jax.random.key(0), (5, 6, 6, 3), jnp.float64)
        variables = net.init(jax.random.key(1), images)
        found = ntk.gram(net.apply, variables, images, method="layerwise")
        expected = ntk.gram(net.apply, variables, images, method="neural_tangents")
        np.testing.assert_allclose(found, expected, rtol=1e-12)
