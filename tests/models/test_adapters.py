"""Modules of other frameworks have the kernels of the same networks in linen."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from kdtheory import models
from kdtheory.errors import InputError
from kdtheory.ntk import gram, operator

X = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype(np.float32)
RNG = np.random.default_rng(1)
WEIGHTS = {
    "conv": RNG.normal(size=(3, 3, 2, 4)).astype(np.float32),
    "conv_bias": RNG.normal(size=4).astype(np.float32),
    "dense": RNG.normal(size=(4, 3)).astype(np.float32),
    "dense_bias": RNG.normal(size=3).astype(np.float32),
}


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3))(x)).mean((1, 2))
        return nn.Dense(3)(x)


@pytest.fixture(scope="module")
def expected():
    params = {
        "Conv_0": {"kernel": WEIGHTS["conv"], "bias": WEIGHTS["conv_bias"]},
        "Dense_0": {"kernel": WEIGHTS["dense"], "bias": WEIGHTS["dense_bias"]},
    }
    return gram(Linen().apply, {"params": params}, X)


def assert_same(apply_fn, variables, expected):
    np.testing.assert_allclose(gram(apply_fn, variables, X), expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(
        operator(apply_fn, variables, X).trace(), np.trace(expected), rtol=1e-5
    )


def test_plain_jax(expected):
    def apply_fn(variables, x):
        w = variables["params"]
        h = jax.lax.conv_general_dilated(
            x, w["conv"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        h = jax.nn.relu(h + w["conv_bias"][None, None, None]).mean((1, 2))
        return h @ w["dense"] + w["dense_bias"][None]

    assert_same(apply_fn, {"params": WEIGHTS}, expected)


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(2, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, epsilon=0.0, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.dense = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        return self.dense(self.drop(jax.nn.relu(self.norm(self.conv(x))).mean((1, 2))))


def nnx_module():
    module = Nnx(nnx.Rngs(0))
    module.conv.kernel[...] = jnp.asarray(WEIGHTS["conv"])
    module.conv.bias[...] = jnp.asarray(WEIGHTS["conv_bias"])
    module.dense.kernel[...] = jnp.asarray(WEIGHTS["dense"])
    module.dense.bias[...] = jnp.asarray(WEIGHTS["dense_bias"])
    return module


def test_nnx_in_evaluation_mode(expected):
    module = nnx_module()
    module.eval()
    apply_fn, variables = models.from_nnx(module)
    # The normalisation's own scale and bias are parameters too: without them it is linen's network.
    kernel = gram(apply_fn, variables, X, params=lambda path, _: "norm" not in path
                  and path.startswith("params"))  # fmt: skip
    np.testing.assert_allclose(kernel, expected, rtol=1e-5, atol=1e-4)
    whole = gram(apply_fn, variables, X)
    assert (np.diagonal(whole) > np.diagonal(kernel)).all()
    np.testing.assert_allclose(operator(apply_fn, variables, X).trace(), np.trace(whole), rtol=1e-5)


def test_nnx_in_training_mode_is_refused():
    with pytest.raises(InputError, match=r"batch normalisation must be in inference mode|dropout"):
        gram(*models.from_nnx(nnx_module()), X)


def test_equal_nnx_modules_share_what_is_compiled():
    first, _ = models.from_nnx(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
    second, _ = models.from_nnx(nnx.Linear(3, 2, rngs=nnx.Rngs(1)))
    assert first == second
    assert hash(first) == hash(second)


def test_equinox(expected):
    eqx = pytest.importorskip("equinox")
    conv = eqx.nn.Conv2d(2, 4, 3, padding=1, key=jax.random.key(0))
    linear = eqx.nn.Linear(4, 3, key=jax.random.key(1))
    values = [
        jnp.asarray(WEIGHTS["conv"].transpose(3, 2, 0, 1)),
        jnp.asarray(WEIGHTS["conv_bias"])[:, None, None],
        jnp.asarray(WEIGHTS["dense"].T),
        jnp.asarray(WEIGHTS["dense_bias"]),
    ]
    conv, linear = eqx.tree_at(
        lambda both: (both[0].weight, both[0].bias, both[1].weight, both[1].bias),
        (conv, linear), values,
    )  # fmt: skip
    module = eqx.nn.Sequential(
        [
            eqx.nn.Lambda(lambda x: jnp.transpose(x, (2, 0, 1))),
            conv,
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.Lambda(lambda x: x.mean((1, 2))),
            linear,
        ]
    )
    assert_same(*models.from_equinox(module), expected)
    with pytest.raises(InputError, match="has no floating arrays to differentiate by"):
        models.from_equinox(eqx.nn.Lambda(jax.nn.relu))
    with pytest.raises(InputError, match=r"Sequential is a module of equinox: pass .*from_equinox"):
        gram(module, {"params": WEIGHTS}, X)


@pytest.mark.parametrize("stateful", [False, True])
def test_haiku(expected, stateful):
    hk = pytest.importorskip("haiku")

    def forward(x):
        x = jax.nn.relu(hk.Conv2D(4, 3)(x)).mean((1, 2))
        if stateful:
            hk.get_state("count", (), jnp.int32, init=jnp.zeros)
        return hk.Linear(3)(x)

    params = {
        "conv2_d": {"w": jnp.asarray(WEIGHTS["conv"]), "b": jnp.asarray(WEIGHTS["conv_bias"])},
        "linear": {"w": jnp.asarray(WEIGHTS["dense"]), "b": jnp.asarray(WEIGHTS["dense_bias"])},
    }
    with jax.numpy_rank_promotion("allow"):
        if stateful:
            transformed = hk.transform_with_state(forward)
            _, state = transformed.init(jax.random.key(0), jnp.asarray(X))
            adapted = models.from_haiku(transformed, params, state)
        else:
            adapted = models.from_haiku(hk.transform(forward), params)
    assert_same(*adapted, expected)
