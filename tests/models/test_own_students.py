"""examples/own_students.py: one student in three libraries, on the command line by --import."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models
from kdtheory.cli import main
from kdtheory.errors import InputError
from kdtheory.rows import students
from kdtheory.statistics.stored_rows import read_rows

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_students.py"


# An NNX student's run is in tests/runs/test_nnx_student.py too.
@pytest.mark.parametrize(
    "student", [pytest.param("mine_nnx4", marks=pytest.mark.slow), "mine_equinox4"]
)
@pytest.mark.usefixtures("forget")
def test_a_student_of_another_library_is_trained_and_measured(student, tmp_path):
    out = tmp_path / "run"
    main(["run", "--import", str(EXAMPLE), "--student", student, "--dataset", "digits", "--teacher",
          "mlp8x1", "--train-size", "32", "--test-size", "16", "--validation-size", "0", "--arms",
          "labels", "--epochs", "1", "--batch-size", "16", "--seeds", "1", "--points", "2",
          "--ntk-size", "4", "--out", str(out)])  # fmt: skip
    rows = read_rows(out).rows
    (final,) = [row for row in students(rows) if row["final"]]
    assert final["student"] == student
    complexities = [row["adjusted_complexity"] for row in rows if row["kind"] == "complexity"]
    assert len(complexities) > 2
    assert min(complexities) > 0


def test_the_equinox_student_computes_what_the_module_does():
    import equinox as eqx

    student = models.equinox_to_linen(eqx.nn.MLP, 4, 3, 5, 1)
    variables = models.init(student, jax.random.key(0), (4,))
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    module = eqx.nn.MLP(4, 3, 5, 1, key=jax.random.key(0))
    module = eqx.tree_at(
        lambda m: [part for layer in m.layers for part in (layer.weight, layer.bias)],
        module,
        [variables["params"]["module"][f".layers[{i}].{part}"]
         for i in (0, 1) for part in ("weight", "bias")],
    )  # fmt: skip
    np.testing.assert_allclose(
        student.apply(variables, jnp.asarray(x)), jax.vmap(module)(jnp.asarray(x)), rtol=1e-6
    )
    assert student == models.equinox_to_linen(eqx.nn.MLP, 4, 3, 5, 1)


def test_an_equinox_module_of_integers_is_refused():
    import equinox as eqx

    class Counting(eqx.Module):
        weight: jax.Array
        count: jax.Array

        def __init__(self, *, key):
            self.weight, self.count = jax.random.normal(key, (3,)), jnp.arange(3)

        def __call__(self, x):
            return self.weight * x

    with pytest.raises(InputError, match="Counting has arrays that are no parameters"):
        models.init(models.equinox_to_linen(Counting), jax.random.key(0), (3,))
