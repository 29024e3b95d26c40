"""Layer by layer kernels are the Jacobian's, for every kind of layer and way of using it."""

from typing import Any

import flax.linen as nn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.ntk import gram
from kdtheory.ntk.dense import choose_method
from kdtheory.ntk.gradient_forms import ENTRYWISE, form_of
from kdtheory.ntk.methods import METHODS
from kdtheory.ntk.per_example import find_gradients


def noisy(variables, seed=1):
    """Parameters and statistics away from their special initial values (zeros and ones)."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda v: np.asarray(v + 0.3 * rng.random(v.shape), v.dtype), variables)


def images(n, *shape, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype(np.float32)


def assert_exact(apply_fn, variables, x, outputs="full"):
    """Compare with neural-tangents, both in float64."""
    kernel, expected = (
        gram(apply_fn, variables, x, outputs=outputs, method=method, dtype="float64")
        for method in ("layerwise", "neural_tangents")
    )
    assert np.abs(kernel - expected).max() <= 1e-12 * np.abs(expected).max()
    return expected


def general_equations(apply_fn, variables, x):
    found = find_gradients(apply_fn, variables, x)
    return [
        meeting.equation.name
        for meeting in found.meetings
        if form_of(found.program, meeting) == "general" and meeting.equation.name not in ENTRYWISE
    ]


class Convolutions(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Conv(4, (3, 2), strides=(2, 1), padding="SAME")(x))
        x = nn.tanh(nn.Conv(6, (2, 3), kernel_dilation=(1, 2), feature_group_count=2)(x))
        x = nn.tanh(nn.Conv(6, (3, 3), feature_group_count=6, use_bias=False, strides=2)(x))
        x = nn.tanh(nn.Conv(12, (2, 2), feature_group_count=6, padding=((1, 2), (0, 1)))(x))
        x = nn.tanh(nn.Conv(3, (3, 3), padding="CIRCULAR")(x))
        x = nn.tanh(nn.Conv(3, (2, 2), padding=1, use_bias=False)(x))
        x = nn.tanh(nn.Conv(2, x.shape[1:3], padding="VALID")(x))  # one position: an outer product
        return nn.Dense(2)(x.reshape(x.shape[0], -1))


class Sequences(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        embed = nn.Embed(7, 4)
        x = embed(tokens)
        x = nn.LayerNorm()(x)
        x = x + nn.Conv(4, (3,), padding="CAUSAL")(x)
        x = nn.tanh(nn.Dense(5)(x))
        x = nn.RMSNorm()(x)
        x = x + nn.MultiHeadDotProductAttention(num_heads=1)(x)
        x = nn.Dense(4, use_bias=False)(x).mean(1)
        return embed.attend(x)[:, :2]  # weights tied to the embedding


class Norms(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=True)(nn.Conv(4, (2, 2))(x))
        x = nn.tanh(nn.GroupNorm(num_groups=2)(x))
        x = nn.BatchNorm(use_scale=False)(x, use_running_average=True)
        x = nn.tanh(nn.InstanceNorm()(nn.ConvTranspose(3, (2, 2))(x)))
        x = nn.LayerNorm(use_bias=False)(x.reshape(x.shape[0], -1))
        return nn.Dense(3)(x)


class Scaled(nn.Module):
    """A layer with parameters of its own around another layer."""

    @nn.compact
    def __call__(self, x, *, power):
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        return nn.Dense(x.shape[-1])(x * scale[None]) ** power


class Shared(nn.Module):
    def setup(self):
        self.twice = nn.Dense(3)
        self.scaled = Scaled()
        self.conv = nn.Conv(3, (2, 2))

    def __call__(self, x):
        x = nn.tanh(self.conv(nn.tanh(self.conv(x)))).mean((1, 2))
        x = nn.tanh(self.twice(nn.tanh(self.twice(x))))
        return self.twice(self.scaled(x, power=2)) + self.scaled(x, power=3)


@pytest.mark.parametrize(
    ("model", "x", "general"),
    [
        (Convolutions(), images(3, 6, 7, 2), []),
        (Norms(), images(3, 4, 4, 2), []),
        (Shared(), images(3, 3, 3, 3), []),
        (
            Sequences(),
            np.random.default_rng(0).integers(0, 7, (3, 5)).astype(np.int32),
            ["gather"],
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_layer_is_exact(model, x, general):
    variables = noisy(jax.jit(model.init)(jax.random.key(0), x))
    # The general way is exact too: that the special ways are taken needs a look of its own.
    assert general_equations(model.apply, variables, x) == general
    assert_exact(model.apply, variables, x)


class Drawn(nn.Module):
    """A network out of a drawn list of layers."""

    layers: tuple[tuple[Any, ...], ...]
    outputs: int

    @nn.compact
    def __call__(self, x):
        for kind, *settings in self.layers:
            if kind == "conv":
                width, kernel, stride, dilation, padding, grouped, bias = settings
                x = nn.Conv(
                    x.shape[-1] * width if grouped else width,
                    (kernel, 2),
                    strides=stride,
                    kernel_dilation=dilation,
                    padding=padding,
                    feature_group_count=x.shape[-1] if grouped else 1,
                    use_bias=bias,
                )(x)
            elif kind == "dense":
                x = nn.Dense(settings[0])(x)
            elif kind == "norm":
                x = nn.LayerNorm()(x) if settings[0] else nn.BatchNorm(use_running_average=True)(x)
            else:
                x = x + nn.Conv(x.shape[-1], (3, 3))(nn.tanh(x))
            x = nn.tanh(x)
        return nn.Dense(self.outputs)(x.mean(1) if x.ndim == 3 else x.reshape(x.shape[0], -1))


LAYER = st.one_of(
    st.tuples(
        st.just("conv"),
        st.integers(1, 3),
        st.integers(1, 3),
        st.integers(1, 2),
        st.integers(1, 2),
        st.sampled_from(["SAME", "CIRCULAR"]),
        st.booleans(),
        st.booleans(),
    ),
    st.tuples(st.just("dense"), st.integers(1, 4)),
    st.tuples(st.just("norm"), st.booleans()),
    st.tuples(st.just("residual")),
)


def check_drawn(layers, d, outputs):
    model, x = Drawn(layers, d), images(3, 5, 4, 2)
    variables = noisy(jax.jit(model.init)(jax.random.key(0), x))
    expected = assert_exact(model.apply, variables, x, outputs)
    single = gram(model.apply, variables, x, outputs=outputs, method="layerwise")
    assert np.abs(single - expected).max() <= 1e-5 * np.abs(expected).max()


DRAWN = {
    "layers": st.lists(LAYER, min_size=1, max_size=4).map(tuple),
    "d": st.integers(1, 3),
    "outputs": st.sampled_from(["full", "trace", "diagonal", "sum"]),
}


@hypothesis.settings(max_examples=2, phases=[hypothesis.Phase.generate])
@hypothesis.given(**DRAWN)
def test_drawn_architectures_are_exact(layers, d, outputs):
    check_drawn(layers, d, outputs)


@pytest.mark.slow
@hypothesis.settings(max_examples=30, phases=[hypothesis.Phase.generate])
@hypothesis.given(**DRAWN)
def test_many_drawn_architectures_are_exact(layers, d, outputs):
    check_drawn(layers, d, outputs)


def test_convolutions_in_parts_that_fit_a_cache_are_the_same(monkeypatch):
    model, x = Drawn((("conv", 2, 3, 1, 1, "SAME", False, True),), 1), images(6, 5, 4, 2)
    variables = noisy(model.init(jax.random.key(0), x))
    whole = gram(model.apply, variables, x, dtype="float64")
    monkeypatch.setattr("kdtheory.ntk.gradient_forms.SLICES_IN_CACHE", 3000)

    def again(variables, x):  # another function: nothing compiled is found for it
        return model.apply(variables, x)

    parts = gram(again, variables, x, dtype="float64")
    np.testing.assert_allclose(parts, whole, rtol=1e-11, atol=1e-12 * np.abs(whole).max())


def test_gradients_are_computed_anew_where_memory_is_short(monkeypatch):
    model, x = nn.Dense(2), images(7, 4)
    variables = noisy(model.init(jax.random.key(0), x))
    whole = gram(model.apply, variables, x, batch_size=2, dtype="float64")
    monkeypatch.setattr("kdtheory.ntk.layerwise.available", lambda: 1)
    tiled = gram(model.apply, variables, x, batch_size=2, dtype="float64")
    np.testing.assert_allclose(tiled, whole, rtol=1e-11, atol=1e-12 * np.abs(whole).max())


def test_a_jitted_apply_is_taken_apart_too():
    model, x = nn.Dense(2), images(3, 4)
    variables = noisy(model.init(jax.random.key(0), x))
    jitted = jax.jit(model.apply)
    assert choose_method(jitted, variables, x)[0] == "layerwise"
    np.testing.assert_allclose(
        gram(jitted, variables, x), gram(model.apply, variables, x), rtol=1e-5
    )


DENSE = nn.Dense(2)


class Rematerialised(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.remat(nn.Dense)(2)(nn.tanh(nn.Dense(3)(x)))


REMAT = Rematerialised()


@pytest.mark.parametrize(
    ("apply_fn", "model"),
    [
        (lambda v, x: DENSE.apply(v, x) + v["params"]["bias"], DENSE),
        (lambda v, x: DENSE.apply(v, x * v["params"]["bias"].sum()), DENSE),
        (lambda v, x: DENSE.apply(jax.tree.map(lambda p: 2 * p, v), x), DENSE),
        (lambda v, x: DENSE.apply(v, x.T.reshape(4, -1).T), DENSE),
        (lambda v, x: DENSE.apply(v, x[None])[0], DENSE),
        (lambda v, x: jax.checkpoint(lambda y: DENSE.apply(v, 2 * y))(x), DENSE),
        (REMAT.apply, REMAT),
    ],
)
def test_parameters_outside_layers_and_in_transformations_are_exact(apply_fn, model):
    x = images(3, 4)
    variables = noisy(model.init(jax.random.key(0), x))
    assert choose_method(apply_fn, variables, x) == ("layerwise", "exact for every function")
    assert_exact(apply_fn, variables, x)


class Training(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=False)(nn.Dense(2)(x))


def batch_statistics(variables, x):
    return Training().apply(variables, x, mutable=["batch_stats"])[0]


def scaled_batch_statistics(variables, x):
    """The factor keeps it from being layerwise, so that "auto" takes neural-tangents."""
    return batch_statistics(variables, x) * variables["params"]["Dense_0"]["bias"].sum()


@pytest.mark.parametrize("apply_fn", [batch_statistics, scaled_batch_statistics])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("jitted", [False, True])
def test_batch_statistics_are_refused_by_name_by_every_method(apply_fn, method, jitted):
    x = images(2, 4)
    variables = Training().init(jax.random.key(0), x)
    apply_fn = jax.jit(apply_fn) if jitted else apply_fn
    # JAX keeps this trace, for the shapes that `gram` will try.
    jax.eval_shape(apply_fn, variables, x)
    with pytest.raises(InputError, match=r"reduce_sum in .*BatchNorm_0.*inference mode"):
        gram(apply_fn, variables, x, method=method)


def test_layers_with_a_precision_of_their_own_are_exact_to_that_precision():
    model, x = nn.Dense(2, dtype=jnp.bfloat16), images(3, 4)
    variables = model.init(jax.random.key(0), x)
    expected = gram(nn.Dense(2).apply, variables, x)
    np.testing.assert_allclose(gram(model.apply, variables, x), expected, rtol=2e-2, atol=2e-2)
