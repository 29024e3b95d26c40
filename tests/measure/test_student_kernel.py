"""Complexities of a run against a kernel that is known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.errors import KernelError
from kdtheory.measure.student_kernel import measure_supervisions, student_kernel, trace_of_full
from kdtheory.ntk import gram
from kdtheory.runs import RunConfig

N, D, FEATURES = 6, 3, 40


def linear(variables, x):
    """A linear model: its NTK is X X^T for each output, and outputs do not interact."""
    return x.reshape(x.shape[0], -1) @ variables["params"]


@pytest.fixture(scope="module")
def images():
    return np.asarray(jax.random.normal(jax.random.key(0), (N, FEATURES, 1, 1)))


@pytest.fixture(scope="module")
def variables():
    return {"params": jax.random.normal(jax.random.key(1), (FEATURES, D))}


@pytest.mark.parametrize("kernel", ["full", "trace"])
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_linear_model(images, variables, kernel, ridge):
    config = RunConfig.of(kernel=kernel, ridge=ridge, ntk_size=N, ntk_dtype="float64")
    factored = student_kernel(linear, variables, images, config, D)
    x = images.reshape(N, -1).astype(np.float64)
    np.testing.assert_allclose(factored.trace_kernel, D * x @ x.T, rtol=1e-6)

    targets = np.asarray(jax.random.normal(jax.random.key(2), (2, N, D)))
    labels = np.zeros(N, np.int32)
    results = measure_supervisions(factored, list(targets), labels, np.zeros((N, D)), config)
    k = x @ x.T
    inverse = np.linalg.inv(k + ridge * np.trace(k) / N * np.eye(N))
    for target, result in zip(targets, results, strict=True):
        expected = np.einsum("ia,ij,ja->", target, inverse, target)
        np.testing.assert_allclose(result.complexity, expected, rtol=1e-6)
        np.testing.assert_allclose(result.trace, D * np.trace(k), rtol=1e-6)
        np.testing.assert_allclose(
            result.adjusted_complexity, np.sqrt(expected * D * np.trace(k)) / N, rtol=1e-6
        )


def test_centred_and_residual_targets_change_the_value_as_they_should(images, variables):
    config = RunConfig.of(ntk_size=N, residual_targets=True, centre_targets=True)
    kernel = student_kernel(linear, variables, images, config, D)
    initial = np.asarray(linear(variables, jnp.asarray(images)))
    labels = np.zeros(N, np.int32)
    # The initial predictions themselves, shifted: nothing is left to learn.
    (nothing,) = measure_supervisions(kernel, [initial + np.float32(2)], labels, initial, config)
    assert nothing.complexity < 1e-8
    plain = config.replace(residual_targets=False, centre_targets=False)
    (something,) = measure_supervisions(kernel, [initial], labels, initial, plain)
    # f = X w: its complexity is ||w||^2 up to what X does not span.
    assert 0 < something.complexity <= float((variables["params"] ** 2).sum()) * (1 + 1e-5)


def test_trace_of_full(images, variables):
    full = gram(linear, variables, images, outputs="full")
    trace = gram(linear, variables, images, outputs="trace")
    np.testing.assert_allclose(trace_of_full(full, D), trace, rtol=1e-5)


def test_a_singular_kernel_names_the_flag(variables, images):
    twice = np.concatenate([images[:3], images[:3]])
    with pytest.raises(KernelError, match="--ridge"):
        student_kernel(linear, variables, twice, RunConfig.of(ridge=0.0), D)
