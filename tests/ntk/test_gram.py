"""The Gram matrix of the empirical NTK: values, layouts, tiling, and bad input."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.errors import InputError, KernelError
from kdtheory.ntk import gram
from kdtheory.ntk.dense import choose_method
from kdtheory.ntk.engines import OUTPUTS
from kdtheory.ntk.methods import METHODS


class Small(nn.Module):
    outputs: int = 3

    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Conv(4, (3, 3), strides=2)(x))
        x = nn.BatchNorm(use_running_average=True)(x)
        return nn.Dense(self.outputs)(x.reshape(x.shape[0], -1))


def reference(apply_fn, variables, x1, x2=None):
    """K[(i, a), (j, b)] in float64 from full Jacobians, with nothing of kdtheory."""
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):

        def jacobian(x):
            def logits(p):
                return apply_fn({**rest, "params": p}, jnp.asarray(x, "float64"))

            tree = jax.jit(jax.jacrev(logits))(params)
            rows = np.prod(jax.eval_shape(logits, params).shape)
            return np.concatenate(
                [np.asarray(j).reshape(rows, -1) for j in jax.tree.leaves(tree)], 1
            )

        variables = jax.tree.map(lambda v: jnp.asarray(v, "float64"), variables)
        params = variables["params"]
        rest = {name: value for name, value in variables.items() if name != "params"}
        first = jacobian(x1)
        return first @ (first if x2 is None else jacobian(x2)).T


def noisy(variables, seed=1):
    """Parameters and statistics away from their special initial values (zeros and ones)."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda v: np.asarray(v + 0.3 * rng.random(v.shape), v.dtype), variables)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    x1 = rng.normal(size=(5, 6, 6, 2)).astype(np.float32)
    x2 = rng.normal(size=(3, 6, 6, 2)).astype(np.float32)
    model = Small()
    variables = noisy(jax.jit(model.init)(jax.random.key(0), x1))
    return model.apply, variables, x1, x2


@pytest.mark.parametrize("method", METHODS[1:])
def test_full_matches_the_jacobian_product_in_both_precisions(problem, method):
    apply_fn, variables, x1, x2 = problem
    for second in (None, x2):
        expected = reference(apply_fn, variables, x1, second)
        single = gram(apply_fn, variables, x1, second, method=method)
        double = gram(apply_fn, variables, x1, second, method=method, dtype="float64")
        assert single.dtype == np.float32
        assert double.dtype == np.float64
        assert np.abs(single - expected).max() <= 1e-5 * np.abs(expected).max()
        assert np.abs(double - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize("method", METHODS[1:])
def test_reduced_outputs_are_reductions_of_full(problem, method):
    apply_fn, variables, x1, x2 = problem
    for second in (None, x2):
        full = gram(apply_fn, variables, x1, second, dtype=np.float64)
        blocks = full.reshape(len(x1), 3, -1, 3)
        expected = {
            "trace": np.einsum("iaja->ij", blocks),
            "diagonal": np.einsum("iaja->aij", blocks),
            "sum": np.einsum("iajb->ij", blocks) / 3,
        }
        for outputs, value in expected.items():
            kernel = gram(
                apply_fn, variables, x1, second, outputs=outputs, method=method, dtype="float64"
            )
            np.testing.assert_allclose(kernel, value, rtol=1e-11, atol=1e-12 * np.abs(full).max())


@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("method", METHODS[1:])
def test_ragged_tiles_do_not_change_the_result(problem, method, outputs):
    apply_fn, variables, x1, x2 = problem
    for second in (None, x2):
        whole = gram(
            apply_fn, variables, x1, second, outputs=outputs, method=method, dtype="float64"
        )
        tiled = gram(
            apply_fn,
            variables,
            x1,
            second,
            outputs=outputs,
            method=method,
            batch_size=2,
            dtype="float64",
        )
        np.testing.assert_allclose(tiled, whole, rtol=1e-11, atol=1e-12 * np.abs(whole).max())


def test_the_symmetric_matrix_is_exactly_symmetric_and_positive_semidefinite(problem):
    apply_fn, variables, x1, _ = problem
    kernel = gram(apply_fn, variables, x1, batch_size=2, dtype="float64")
    np.testing.assert_array_equal(kernel, kernel.T)
    eigenvalues = np.linalg.eigvalsh(kernel)
    assert eigenvalues[0] >= -1e-12 * eigenvalues[-1]


def test_the_kernel_of_two_sets_is_a_block_of_the_kernel_of_their_union(problem):
    apply_fn, variables, x1, x2 = problem
    union = gram(apply_fn, variables, np.concatenate([x1, x2]), dtype="float64")
    block = gram(apply_fn, variables, x1, x2, dtype="float64")
    np.testing.assert_allclose(block, union[:15, 15:], rtol=1e-11, atol=1e-12 * union.max())


def test_permuting_examples_permutes_the_kernel(problem):
    apply_fn, variables, x1, _ = problem
    order = np.array([3, 0, 4, 1, 2])
    kernel = gram(apply_fn, variables, x1, outputs="trace", dtype="float64")
    permuted = gram(apply_fn, variables, x1[order], outputs="trace", dtype="float64")
    np.testing.assert_allclose(permuted, kernel[np.ix_(order, order)], rtol=1e-11)


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_linear_model_has_the_kernel_x_xt(method):
    x = np.random.default_rng(0).normal(size=(6, 4))
    model = nn.Dense(2, use_bias=False, param_dtype=np.float64)
    with jax.enable_x64(True):
        variables = jax.jit(model.init)(jax.random.key(0), x)
    kernel = gram(model.apply, variables, x, method=method)
    assert kernel.dtype == np.float64  # the parameters' own, whatever JAX's flag says
    np.testing.assert_allclose(kernel, np.kron(x @ x.T, np.eye(2)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", METHODS[1:])
def test_the_model_is_traced_no_oftener_for_more_tiles(problem, method):
    _, variables, x1, _ = problem
    traces = 0

    def apply_fn(variables, x):
        nonlocal traces
        traces += 1
        return Small().apply(variables, x)

    gram(apply_fn, variables, x1, batch_size=2, method=method)
    first = traces
    gram(apply_fn, variables, np.concatenate([x1] * 4), batch_size=2, method=method)
    # Only the abstract check of the model's output: nothing is compiled again.
    assert traces - first <= 1


@pytest.mark.parametrize("method", ["layerwise", "neural_tangents"])
def test_equal_modules_share_what_is_compiled(problem, method):
    _, variables, x1, _ = problem
    traces = 0

    class Counting(nn.Module):
        width: int

        @nn.compact
        def __call__(self, x):
            nonlocal traces
            traces += 1
            return nn.Dense(self.width)(x.reshape(x.shape[0], -1))

    variables = Counting(2).init(jax.random.key(0), x1)
    gram(Counting(2).apply, variables, x1, method=method)
    first = traces
    gram(Counting(2).apply, variables, x1, method=method)
    assert traces - first <= 1  # the abstract check of the outputs
    other = Counting(3)
    assert gram(other.apply, other.init(jax.random.key(0), x1), x1, method=method).shape == (15, 15)


def test_progress_counts_every_tile_once(problem):
    apply_fn, variables, x1, x2 = problem
    seen = []
    gram(apply_fn, variables, x1, batch_size=2, on_tile=lambda *counts: seen.append(counts))
    assert seen == [(i, 6) for i in range(1, 7)]
    seen.clear()
    gram(apply_fn, variables, x1, x2, batch_size=2, on_tile=lambda *counts: seen.append(counts))
    assert seen == [(i, 6) for i in range(1, 7)]


def test_auto_is_layerwise(problem):
    apply_fn, variables, x1, x2 = problem
    method, reason = choose_method(apply_fn, variables, x1)
    assert (method, reason) == ("layerwise", "exact for every function")
    np.testing.assert_array_equal(
        gram(apply_fn, variables, x1, x2), gram(apply_fn, variables, x1, x2, method="layerwise")
    )


def test_plain_functions_of_the_parameters_are_exact():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    variables = {"params": {"w": np.ones((3, 2), np.float32)}}

    def apply_fn(variables, x):
        return jnp.square(x @ variables["params"]["w"])

    assert choose_method(apply_fn, variables, x)[0] == "layerwise"
    expected = reference(apply_fn, variables, x)
    np.testing.assert_allclose(gram(apply_fn, variables, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "magic"}, r"unknown method 'magic'; known: auto, .*neural_tangents"),
        ({"outputs": "mean"}, r"unknown outputs 'mean'; known: diagonal, full, sum, trace"),
        ({"dtype": "int32"}, r"unknown dtype 'int32'; known: float32, float64"),
        ({"batch_size": 0}, r"batch_size must be at least 1; got 0"),
        ({"x2": np.ones((3, 4, 4, 2), np.float32)}, r"x1 and x2 must be alike"),
        (
            {"x1": np.ones((3, 6, 6, 5), np.float32)},
            r"does not take inputs of shape \(3, 6, 6, 5\)",
        ),
        ({"x1": np.ones((0, 6, 6, 2), np.float32)}, r"x1 must have at least one example"),
        ({"x1": np.full((2, 6, 6, 2), np.nan, np.float32)}, r"x1 has entries that are not finite"),
        ({"variables": {"weights": {}}}, r'must hold parameters under "params".*weights'),
        ({"apply_fn": lambda v, x: x}, r"must return logits of shape \(n, d\).*\(2, 6, 6, 2\)"),
    ],
)
def test_bad_input_gets_one_clear_line(problem, changes, message):
    apply_fn, variables, x1, x2 = problem
    arguments = {"apply_fn": apply_fn, "variables": variables, "x1": x1, "x2": x2, **changes}
    if "x1" in changes:
        arguments["x2"] = None
    positional = [arguments.pop(name) for name in ("apply_fn", "variables", "x1", "x2")]
    with pytest.raises(InputError, match=message) as caught:
        gram(*positional, **arguments)
    assert "\n" not in str(caught.value)


def test_a_kernel_that_is_not_finite_names_the_likely_cause(problem):
    apply_fn, variables, x1, _ = problem
    diverged = jax.tree.map(np.copy, variables)
    diverged["params"]["Dense_0"]["kernel"][0, 0] = np.nan
    with pytest.raises(KernelError, match=r"params/Dense_0/kernel is not \(a training run"):
        gram(apply_fn, diverged, x1)
    linear = nn.Dense(1).init(jax.random.key(0), np.ones((1, 2)))
    with pytest.raises(KernelError, match=r"an overflow in the model.*largest input"):
        gram(nn.Dense(1).apply, linear, 1e30 * np.ones((2, 2), np.float32))
