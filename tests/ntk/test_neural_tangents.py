"""neural-tangents imports, computes, and leaves no trace on JAX."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.ntk import neural_tangents


def two_layers(params, x):
    return jnp.tanh(x @ params["w"]) @ params["v"]


@pytest.fixture
def problem():
    keys = jax.random.split(jax.random.key(0), 3)
    params = {"w": jax.random.normal(keys[0], (4, 7)), "v": jax.random.normal(keys[1], (7, 3))}
    return params, jax.random.normal(keys[2], (5, 4))


@pytest.mark.filterwarnings("ignore:size requires ndarray:DeprecationWarning")
@pytest.mark.parametrize("name", sorted(neural_tangents.IMPLEMENTATIONS))
def test_every_implementation_agrees_with_the_jacobian_product(problem, name):
    params, x = problem
    kernel_fn = neural_tangents.load().empirical_ntk_fn(
        two_layers,
        trace_axes=(),
        vmap_axes=0,
        implementation=neural_tangents.implementation(name),
    )
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        kernel = jax.jit(kernel_fn)(x, None, params)
    jacobian = jax.jacrev(two_layers)(params, x)
    flat = np.concatenate([np.asarray(j).reshape(15, -1) for j in jax.tree.leaves(jacobian)], 1)
    expected = (flat @ flat.T).reshape(5, 3, 5, 3).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(kernel, expected, rtol=2e-5, atol=1e-5)


def test_import_leaves_jax_as_it_was_and_does_not_import_tensorflow():
    program = """
import sys, jax, jax.core
before = set(dir(jax.core)), set(dir(jax.random)), set(dir(jax.interpreters.ad))
from kdtheory.ntk import neural_tangents
neural_tangents.load()
after = set(dir(jax.core)), set(dir(jax.random)), set(dir(jax.interpreters.ad))
assert before == after, [b ^ a for b, a in zip(before, after)]
assert "jax.util" not in sys.modules and "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("name", ["structured_derivatives", "AUTO"])
def test_implementations_that_cannot_run_say_why(name):
    with pytest.raises(InputError, match=r"removed in JAX.*allowed: jacobian_contraction, ntk_vec"):
        neural_tangents.implementation(name)


def test_an_unknown_implementation_lists_the_known():
    with pytest.raises(InputError, match=r"unknown.*'fast'.*allowed: jacobian_contraction"):
        neural_tangents.implementation("fast")
