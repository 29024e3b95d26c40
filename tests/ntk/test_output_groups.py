"""Many outputs: taken in groups, one after another, the kernel is the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.ntk import explain, gram, layerwise
from kdtheory.ntk.methods import make_engine

N, D = 40, 7
X = np.random.default_rng(0).normal(size=(N, 6, 4)).astype(np.float32)
Z = X[:9] + 1


def apply_fn(variables, x):
    w = variables["params"]
    h = jax.lax.conv_general_dilated(
        x, w["conv"], (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    )
    return jnp.tanh(jnp.tanh(h + w["bias"]).mean(1) @ w["hidden"]) @ w["last"]


RNG = np.random.default_rng(1)
VARIABLES = {
    "params": {
        "conv": RNG.normal(size=(3, 4, 16)).astype(np.float32),
        "bias": RNG.normal(size=(1, 1, 16)).astype(np.float32),
        "hidden": RNG.normal(size=(16, 12)).astype(np.float32),
        "last": RNG.normal(size=(12, D)).astype(np.float32),
    }
}


@pytest.fixture(scope="module")
def full():
    return gram(apply_fn, VARIABLES, np.concatenate([X, Z]), dtype="float64").reshape(
        N + 9, D, N + 9, D
    )


def kept(full, outputs):
    diagonal = np.einsum("iaja->aij", full)
    return diagonal if outputs == "diagonal" else diagonal.sum(0)


@pytest.fixture
def passes(monkeypatch):
    """Count the blocks whose gradients were computed, by group."""
    counts = {}
    original = layerwise.LayerwiseEngine.features

    def counted(self, variables, x, size, group=0):
        counts[group] = counts.get(group, 0) + 1
        return original(self, variables, x, size, group)

    monkeypatch.setattr(layerwise.LayerwiseEngine, "features", counted)
    return counts


@pytest.mark.parametrize("outputs", ["trace", "diagonal"])
def test_groups_of_outputs_make_the_same_kernel(full, passes, monkeypatch, outputs):
    monkeypatch.setattr(layerwise, "DEFAULT_BUDGET", 2**19)
    expected = kept(full, outputs)
    scale = 1e-12 * np.abs(expected).max()
    kernel = gram(apply_fn, VARIABLES, X, outputs=outputs, dtype="float64")
    assert 1 < len(passes) < D  # several outputs a group, and the last group is a ragged one
    assert D % len(passes) != 0
    np.testing.assert_allclose(kernel, expected[..., :N, :N], atol=scale)
    np.testing.assert_array_equal(kernel, kernel.swapaxes(-1, -2))
    cross = gram(apply_fn, VARIABLES, X, Z, outputs=outputs, dtype="float64")
    np.testing.assert_allclose(cross, expected[..., :N, N:], atol=scale)


@pytest.mark.parametrize("outputs", ["full", "sum"])
def test_outputs_that_meet_each_other_are_not_taken_apart(passes, monkeypatch, outputs):
    monkeypatch.setattr(layerwise, "DEFAULT_BUDGET", 2**18)
    gram(apply_fn, VARIABLES, X, outputs=outputs)
    assert set(passes) == {0}


def test_a_budget_is_met_by_smaller_groups_not_by_computing_again(full, passes):
    whole = gram(apply_fn, VARIABLES, X, outputs="trace", dtype="float64")
    assert set(passes) == {0}
    passes.clear()
    kernel = gram(apply_fn, VARIABLES, X, outputs="trace", dtype="float64", memory_budget="640KiB")
    assert len(passes) > 1
    assert len(set(passes.values())) == 1  # every group goes over the same blocks
    np.testing.assert_allclose(kernel, whole, atol=1e-12 * np.abs(whole).max())
    told = explain(apply_fn, VARIABLES, X, outputs="trace", dtype="float64", memory_budget="640KiB")
    assert told.memory_bytes <= 640 * 2**10


def test_what_is_interrupted_between_groups_goes_on(tmp_path, passes, monkeypatch):
    monkeypatch.setattr(layerwise, "DEFAULT_BUDGET", 2**17)
    settings = {"outputs": "trace", "dtype": "float64", "store": tmp_path}

    def stop(done, total):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gram(apply_fn, VARIABLES, X, on_tile=stop, **settings)
    kernel = gram(apply_fn, VARIABLES, X, **settings)
    assert len(passes) > 1
    settings.pop("store")
    np.testing.assert_array_equal(gram(apply_fn, VARIABLES, X, **settings), kernel)


def test_a_group_is_of_all_outputs_where_they_fit_and_smaller_where_not():
    made = {}
    for n in (100, 10_000, 1_000_000):
        engine = make_engine(apply_fn, VARIABLES, X, outputs="trace", method="layerwise")
        made[n] = engine.plan(VARIABLES, n, n, None).groups
    assert made[100] == 1
    assert made[100] <= made[10_000] <= made[1_000_000]
    # However many there are, two backward passes an output hide the forward pass of a group.
    assert made[1_000_000] <= D
