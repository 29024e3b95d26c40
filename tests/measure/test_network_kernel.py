"""The front door against a kernel that is known exactly, in every way that it can answer."""

import dataclasses

import jax
import numpy as np
import pytest

import kdtheory
from kdtheory.errors import InputError, KernelError
from kdtheory.measure import KernelSpec, measured_kernel, supervision_complexity
from kdtheory.measure.certified_kernel import CertifiedKernel
from kdtheory.measure.exact_kernel import ExactKernel, trace_of_full
from kdtheory.ntk import gram

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


@pytest.fixture(scope="module")
def targets():
    return list(np.asarray(jax.random.normal(jax.random.key(2), (2, N, D))))


def by_hand(images, target, ridge):
    """Complexity by the inverse, and the trace over all outputs."""
    x = images.reshape(N, -1).astype(np.float64)
    k = x @ x.T
    inverse = np.linalg.inv(k + ridge * np.trace(k) / N * np.eye(N))
    return np.einsum("ia,ij,ja->", target, inverse, target), D * np.trace(k)


WAYS = {
    "full": KernelSpec(),
    "trace": KernelSpec(outputs="trace"),
    "certified": KernelSpec(matrix_free=True, relative_gap=1e-6),
    "budget": KernelSpec(memory_budget="6KiB", relative_gap=1e-6),
}


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_has_the_value(images, variables, targets, way, ridge):
    spec = dataclasses.replace(WAYS[way], ridge=ridge)
    if ridge == 0 and way in ("certified", "budget"):
        with pytest.raises(InputError, match="needs ridge > 0"):
            measured_kernel(linear, variables, images, spec)
        return
    kernel = measured_kernel(linear, variables, images, spec)
    assert isinstance(kernel, ExactKernel if way in ("full", "trace") else CertifiedKernel)
    x = images.reshape(N, -1).astype(np.float64)
    np.testing.assert_allclose(kernel.trace_kernel, D * x @ x.T, rtol=1e-6)
    for target, result in zip(targets, kernel.complexities(targets), strict=True):
        expected, trace = by_hand(images, target, ridge)
        slack = 1e-6 * expected
        assert result.complexity.lower - slack <= expected <= result.complexity.upper + slack
        assert result.complexity.upper - result.complexity.lower <= 2e-6 * expected
        assert result.exact == (way in ("full", "trace"))
        np.testing.assert_allclose(result.trace, trace, rtol=1e-6)
        np.testing.assert_allclose(result.ridge, ridge * trace / (N * D), rtol=1e-6)
        adjusted = np.sqrt(expected * trace) / N
        np.testing.assert_allclose(result.adjusted, [adjusted, adjusted], rtol=2e-6)
        np.testing.assert_allclose(result.rms, np.sqrt(np.mean(target**2)), rtol=1e-6)


def test_an_interval_is_never_a_number_in_a_row(images, variables, targets):
    (one, _) = measured_kernel(
        linear, variables, images, KernelSpec(matrix_free=True, relative_gap=0.5)
    ).complexities(targets)
    row = one.row()
    assert row["complexity"] is row["adjusted_complexity"] is row["residual"] is None
    assert row["complexity_lower"] < by_hand(images, targets[0], 1e-3)[0] < row["complexity_upper"]
    assert row["adjusted_complexity_lower"] < row["adjusted_complexity_upper"]
    exact = measured_kernel(linear, variables, images, KernelSpec()).complexities(targets)[0].row()
    assert exact["complexity"] == pytest.approx(by_hand(images, targets[0], 1e-3)[0], rel=1e-5)
    assert not any(name.endswith(("_lower", "_upper")) for name in exact)


def test_the_sum_of_outputs_takes_one_target_an_example(images, variables, targets):
    one = supervision_complexity(
        linear, variables, images, targets[0][:, 0], spec=KernelSpec(outputs="sum"), ridge=0.1
    )
    # The kernel of the outputs' sum over sqrt(d) is X X^T here.
    expected, _ = by_hand(images, targets[0][:, :1], 0.1)
    assert one.complexity.value == pytest.approx(expected, rel=1e-5)


def test_targets_by_name_and_alone(images, variables, targets):
    labels = np.arange(N) % D
    both = kdtheory.supervision_complexity(
        linear, variables, images, {"a": targets[0], "b": 2 * targets[0]}, ridge=0.1, labels=labels
    )
    alone = kdtheory.supervision_complexity(linear, variables, images, targets[0], ridge=0.1)
    assert both["a"].complexity == pytest.approx(alone.complexity)
    assert alone.margin is None
    # Scaled targets: the complexity over rms stays, and the margin is scaled.
    assert both["b"].over_rms == pytest.approx(both["a"].over_rms)
    assert both["b"].complexity.value == pytest.approx(4 * both["a"].complexity.value)
    assert both["b"].margin == pytest.approx(2 * both["a"].margin)


def test_an_absolute_ridge_is_lambda(images, variables, targets):
    relative = supervision_complexity(linear, variables, images, targets[0], ridge=0.1)
    absolute = supervision_complexity(
        linear, variables, images, targets[0], spec=KernelSpec(ridge_absolute=relative.ridge)
    )
    assert absolute.complexity == relative.complexity


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ridge": 1.0, "ridge_absolute": 1.0}, "not both"),
        ({"ridge": -1.0}, "ridge must be at least 0 and finite, got -1.0"),
        ({"ridge_absolute": float("nan")}, "ridge_absolute must be at least 0 and finite"),
        ({"relative_gap": 0.0}, "relative_gap must be above 0"),
        ({"devices": 0}, "devices must be at least 1"),
        ({"memory_budget": "much"}, "a size must be bytes or a number with a unit"),
        ({"matrix_free": True, "outputs": "trace"}, 'for outputs "full" and "sum"'),
    ],
)
def test_a_wrong_specification_is_one_line(settings, message):
    with pytest.raises(InputError, match=message) as error:
        KernelSpec(**settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"targets": np.ones((N, D + 1))}, r"'targets' must have shape \(6, 3\), got \(6, 4\)"),
        ({"targets": {"t": np.full((N, D), np.nan)}}, "'t' have entries that are not finite"),
        ({"targets": {}}, "no targets"),
        ({"targets": np.arange(N) % 2, "spec": KernelSpec(outputs="sum")}, "are class indices"),
        ({"spec": KernelSpec(ridge=1.0), "ridge": 1.0}, "the ridge is given twice"),
        ({"spec": KernelSpec(memory_budget="1KiB", outputs="trace"), "n": 20}, "trace kernel"),
        ({"labels": np.zeros(N + 1, int)}, r"labels must have shape \(6,\)"),
    ],
)
def test_what_does_not_fit_is_one_line(variables, given, message):
    n = given.pop("n", N)
    given = {"targets": np.ones((n, D)), **given}
    with pytest.raises(InputError, match=message) as error:
        supervision_complexity(linear, variables, np.ones((n, FEATURES)), **given)
    assert "\n" not in str(error.value)


def test_trace_of_full(images, variables):
    full = gram(linear, variables, images, outputs="full")
    trace = gram(linear, variables, images, outputs="trace")
    np.testing.assert_allclose(trace_of_full(full, D), trace, rtol=1e-5)


def test_a_singular_kernel_names_the_flag(variables, images):
    twice = np.concatenate([images[:3], images[:3]])
    with pytest.raises(KernelError, match="--ridge"):
        measured_kernel(linear, variables, twice, KernelSpec(ridge=0.0))


def test_a_killed_measurement_goes_on(images, variables, targets, tmp_path):
    free = KernelSpec(store=str(tmp_path), matrix_free=True, relative_gap=1e-3)
    short = dataclasses.replace(free, max_products=2, relative_gap=1e-9)
    first = measured_kernel(linear, variables, images, short).complexities(targets)
    again = measured_kernel(linear, variables, images, free).complexities(targets)
    for before, after in zip(first, again, strict=True):
        assert before.complexity.lower <= after.complexity.middle <= before.complexity.upper
        assert after.products > before.products == 2
    assert len(list(tmp_path.glob("*/products-*.npz"))) == 1
    # The tiles of a kernel that is whole are of no more use.
    exact = KernelSpec(store=str(tmp_path))
    stored = measured_kernel(linear, variables, images, exact).complexities(targets)
    plain = measured_kernel(linear, variables, images, KernelSpec()).complexities(targets)
    assert stored == plain
    assert not list(tmp_path.glob("*/tiles"))
