"""The precision of products on accelerators; CPUs compute the same at every one of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models
from kdtheory.errors import InputError
from kdtheory.ntk import gram
from kdtheory.ntk.inputs import PRECISIONS, settings
from kdtheory.ntk.methods import make_engine


@pytest.fixture
def mlp():
    model = models.create("mlp8x1", 2)
    x = np.random.default_rng(0).normal(size=(4, 4, 4, 1)).astype(np.float32)
    return model, models.init(model, jax.random.key(0), x.shape[1:]), x


def test_every_precision_reaches_the_products(mlp):
    _, variables, x = mlp
    seen = {}
    for precision in PRECISIONS:
        with settings("float32", variables, precision=precision):
            seen[precision] = str(jax.make_jaxpr(jnp.dot)(x[0, :, :, 0], x[0, :, :, 0]))
    assert len(set(seen.values())) == len(PRECISIONS)
    assert "HIGHEST" in seen["highest"]


def test_on_cpu_it_changes_nothing(mlp):
    model, variables, x = mlp
    kernels = [gram(model.apply, variables, x, precision=name) for name in PRECISIONS]
    if jax.default_backend() == "cpu":
        for kernel in kernels[1:]:
            np.testing.assert_array_equal(kernel, kernels[0])
    else:
        scale = np.abs(kernels[0]).max()
        for kernel in kernels[1:]:
            np.testing.assert_allclose(kernel / scale, kernels[0] / scale, atol=0.03)


def test_it_is_part_of_what_a_store_holds(mlp, tmp_path):
    model, variables, x = mlp
    gram(model.apply, variables, x, store=tmp_path)
    with pytest.raises(InputError, match="precision"):
        gram(model.apply, variables, x, store=tmp_path, precision="bfloat16")


def test_others_are_refused(mlp):
    model, variables, x = mlp
    with pytest.raises(InputError, match="unknown precision 'tf32'"):
        gram(model.apply, variables, x, precision="tf32")


def test_every_precision_has_a_program_of_its_own(mlp):
    """What was traced for one is not found for another."""
    model, variables, x = mlp
    seen = {}
    for precision in PRECISIONS:
        with settings("float32", variables, precision=precision):
            engine = make_engine(model.apply, variables, x, outputs="trace", method="layerwise")
            text = engine._compiled.features.lower(variables, x[:1], engine._weights(0)).as_text()
        seen[precision] = "HIGHEST" in text
    assert seen == {"highest": True, "tensorfloat32": False, "bfloat16": False}
