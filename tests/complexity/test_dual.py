"""The dual route: certified from products with J and J^T."""

import decimal

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtheory import models, ntk
from kdtheory.complexity import certify, factored, factorize
from kdtheory.complexity.dual import certificate
from kdtheory.complexity.fitted import fitted_values, ritz_energy
from kdtheory.complexity.golub_kahan import GolubKahan
from kdtheory.errors import InputError, KernelError


def jacobian_of(spectrum, shape, seed=0):
    """A matrix whose J J^T has these eigenvalues and zeros, and its left vectors."""
    rng = np.random.default_rng(seed)
    rank = len(spectrum)
    left, _ = np.linalg.qr(rng.normal(size=(shape[0], rank)))
    right, _ = np.linalg.qr(rng.normal(size=(shape[1], rank)))
    return (left * np.sqrt(spectrum)) @ right.T, left


def exact_complexity(jacobian, y, ridge):
    """Y^T (J J^T + ridge I)^-1 Y of the matrix as stored, in 50 digits."""
    with decimal.localcontext(prec=50):
        wide, rest = exactly(jacobian), exactly(y)
        a = wide @ wide.T + decimal.Decimal(ridge) * exactly(np.eye(len(y)))
        total = decimal.Decimal(0)
        for i in range(len(y)):
            total += rest[i] ** 2 / a[i, i]
            column = a[i + 1 :, i] / a[i, i]
            rest[i + 1 :] -= column * rest[i]
            a[i + 1 :, i + 1 :] -= np.outer(column, a[i, i + 1 :])
        return float(total)


def exactly(array):
    """The same numbers as Decimals, which hold every float exactly."""
    return np.vectorize(lambda value: decimal.Decimal(float(value)), otypes=[object])(array)


def spectrum_of(shape, condition, rank):
    if shape == "geometric":
        return np.geomspace(1 / condition, 1, rank)
    if shape == "two clusters":
        return np.where(np.arange(rank) < rank // 2, 1 / condition, 1.0)
    if shape == "one small":
        return np.where(np.arange(rank) == 0, 1 / condition, 1.0)
    if shape == "null space":
        return np.where(np.arange(rank) < rank // 3, 0.0, np.linspace(0.2, 1, rank))
    return np.ones(rank)


@settings(max_examples=200)
@given(
    st.sampled_from(["geometric", "two clusters", "one small", "null space", "flat"]),
    st.floats(0, 10),
    st.integers(2, 40),
    st.integers(1, 30),
    st.integers(0, 100),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([1, 2, 5, 1000]),
    st.sampled_from(["random", "smallest", "largest", "outside"]),
)
def test_interval_contains_the_exact_value(
    shape, log_condition, rows, columns, seed, dtype, most, target
):
    ridge = 10**-log_condition
    rank = min(rows, columns)
    dense, left = jacobian_of(spectrum_of(shape, 10**log_condition, rank), (rows, columns), seed)
    dense = dense.astype(dtype)
    y = np.random.default_rng(seed).normal(size=rows)
    if target == "outside":
        y -= left @ (left.T @ y)
    elif target != "random":
        y = left[:, 0 if target == "smallest" else -1] + 1e-3 * y
    y = y.astype(dtype)
    result = certify(
        factored(dense), y, ridge=ridge, relative_gap=1e-10, max_products=most, route="dual"
    )
    exact = exact_complexity(dense, y, ridge)
    assert result.route == "dual"
    assert 0 <= result.lower <= exact * (1 + 1e-12)
    assert result.upper >= exact * (1 - 1e-12)


@pytest.mark.parametrize(("dtype", "logs", "gap"), [
    (np.float64, (0, 2, 4, 6, 8, 10), 1e-6),
    (np.float32, (0, 2, 4), 3e-3),
    (np.float32, (6,), 3e-2),
])  # fmt: skip
def test_interval_is_narrow(dtype, logs, gap):
    """Where Lanczos on K in float32 says nothing any more (1e8), the dual route's is below 0.3."""
    for log_condition in logs:
        dense, _ = jacobian_of(np.geomspace(10.0**-log_condition, 1, 40), (90, 40))
        y = np.random.default_rng(0).normal(size=90).astype(dtype)
        ridge = 10.0**-log_condition
        result = certify(factored(dense.astype(dtype)), y, ridge=ridge, relative_gap=gap)
        assert (result.route, result.stopped) == ("dual", "gap")


def test_rounding_costs_the_root_of_the_condition_number_only():
    dense, _ = jacobian_of(np.geomspace(1e-7, 1, 40), (90, 40))
    dense = dense.astype(np.float32)
    y = np.random.default_rng(0).normal(size=90).astype(np.float32)
    options = {"ridge": 1e-7, "relative_gap": 1e-9}
    dual = certify(factored(dense), y, route="dual", **options)
    primal = certify(factored(dense), y, route="primal", **options)
    assert dual.stopped == primal.stopped == "rounding"
    assert dual.relative_gap < 0.1
    assert primal.relative_gap > 1
    exact = exact_complexity(dense, y, 1e-7)
    assert primal.lower <= dual.lower <= exact <= dual.upper <= primal.upper


def test_a_certificate_rests_on_its_own_products_alone():
    """The basis of another kernel gives a wide interval, not a wrong one."""
    dense, _ = jacobian_of(np.geomspace(1e-3, 1, 20), (50, 20))
    other, _ = jacobian_of(np.geomspace(1e-3, 1, 20), (50, 20), seed=1)
    y = np.random.default_rng(0).normal(size=50)
    process = GolubKahan(factored(other).jacobian, y, norm=1.5)
    for _ in range(12):
        process.advance()
    found = certificate(factored(dense).jacobian, y, process.state, ridge=1e-3, product_error=8.0)
    exact = exact_complexity(dense, y, 1e-3)
    assert 0 < found.lower <= exact <= found.upper <= 1.01 * (y @ y) / 1e-3
    assert found.upper > 2 * found.lower


def test_products_worse_than_stated_widen_the_interval():
    """J^T that is not quite the transpose of J shows in <J a, z> against <a, J^T z>."""
    dense, _ = jacobian_of(np.geomspace(1e-2, 1, 20), (50, 20))
    y = np.random.default_rng(0).normal(size=50)
    noise = 1e-5 * np.random.default_rng(1).normal(size=dense.shape)
    kernel = factored(dense)
    good = certify(kernel, y, ridge=1e-2, relative_gap=1e-9)
    kernel.jacobian.rmatvec = lambda v: np.asarray(v) @ (dense + noise)
    bad = certify(kernel, y, ridge=1e-2, relative_gap=1e-9)
    assert bad.rounding > 1e3 * good.rounding
    assert bad.lower <= good.lower <= good.upper <= bad.upper


def test_targets_outside_the_range_cost_their_square_over_the_ridge():
    dense = np.zeros((6, 3))
    dense[:3] = np.diag([1.0, 2.0, 3.0])
    y = np.array([0.0, 0.0, 0.0, 1.0, 2.0, 2.0])
    result = certify(factored(dense), y, ridge=0.5)
    assert result.lower <= 18.0 <= result.upper
    assert result.relative_gap < 1e-12


def test_auto_goes_by_the_smaller_side():
    wide, tall = np.ones((3, 8)), np.ones((8, 3))
    assert certify(factored(wide), np.ones(3), ridge=1.0).route == "primal"
    assert certify(factored(tall), np.ones(8), ridge=1.0).route == "dual"
    assert certify(factored(wide), np.ones(3), ridge=1.0, route="dual").route == "dual"


def test_stack_of_targets_and_going_on():
    dense, _ = jacobian_of(np.geomspace(1e-4, 1, 30), (40, 30))
    y = np.random.default_rng(0).normal(size=(3, 20, 2))
    y[1] = 0
    options = {"ridge": 1e-4, "relative_gap": 1e-6}
    whole = certify(factored(dense), y, **options)
    part = certify(factored(dense), y, max_products=8, **options)
    assert part.stopped == ("max_products", "gap", "max_products")
    rest = certify(factored(dense), y, states=part.states, **options)
    np.testing.assert_allclose(rest.lower, whole.lower, rtol=1e-9)
    np.testing.assert_array_equal(rest.products, whole.products)
    assert whole.states[1] is None
    exact = factorize(dense @ dense.T, ridge=1e-4).complexity(y).complexity
    assert np.all(whole.lower <= exact * (1 + 1e-9))
    assert np.all(whole.upper >= exact * (1 - 1e-9))
    for ridge in (1e-3, 1e-1):
        other = certify(factored(dense), y, ridge=ridge, states=whole.states)
        np.testing.assert_array_equal(other.products, whole.products)
        exact = factorize(dense @ dense.T, ridge=ridge).complexity(y).complexity
        assert np.all(other.lower <= exact * (1 + 1e-9))
        assert np.all(other.upper >= exact * (1 - 1e-9))
        assert np.all(other.relative_gap < 1e-3)
    with pytest.raises(InputError, match="states belong to other targets"):
        certify(factored(dense), 2 * y, states=part.states, **options)
    with pytest.raises(InputError, match="states of another route: got GolubKahanState"):
        certify(factored(dense), y, states=part.states, route="primal", **options)


@pytest.mark.parametrize("route", ["primal", "dual"])
def test_a_killed_iteration_goes_on_from_its_file(tmp_path, route):
    dense, _ = jacobian_of(np.geomspace(1e-4, 1, 30), (40, 30))
    y = np.random.default_rng(0).normal(size=40)
    options = {"ridge": 1e-4, "relative_gap": 1e-6, "route": route}
    path = tmp_path / "folder" / "state.npz"
    whole = certify(factored(dense), y, **options)

    def kill(_, products, lower, upper):
        if products == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        certify(
            factored(dense), y, checkpoint=path, checkpoint_seconds=0.0, on_product=kill, **options
        )
    seen = []
    rest = certify(
        factored(dense), y, checkpoint=path,
        on_product=lambda _, products, lower, upper: seen.append(products), **options,
    )  # fmt: skip
    assert seen[0] >= 9
    assert rest.lower == pytest.approx(whole.lower, rel=1e-9)
    assert rest.products == whole.products
    with pytest.raises(InputError, match=r"state\.npz belongs to other targets"):
        certify(factored(dense), 2 * y, checkpoint=path, **options)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"state\.npz is not a whole checkpoint"):
        certify(factored(dense), y, checkpoint=path, **options)


@pytest.mark.parametrize(
    ("kernel", "options", "words"),
    [
        (np.eye(3), {"ridge": 1.0}, "a kernel that knows its factor"),
        (factored(np.eye(3)), {"smallest_eigenvalue": 1.0}, "needs ridge > 0"),
    ],
)
def test_what_the_route_needs(kernel, options, words):
    with pytest.raises(InputError, match=words):
        certify(kernel, np.ones(3), route="dual", **options)


def test_bad_jacobians():
    with pytest.raises(InputError, match=r"must have shape \(N, P\), got \(3,\)"):
        factored(np.ones(3))
    with pytest.raises(KernelError, match="NaN or infinite"):
        factored(np.full((2, 2), np.nan))
    kernel = factored(np.eye(3))
    kernel.jacobian.array[0, 0] = np.nan
    with pytest.raises(KernelError, match="not finite"):
        certify(kernel, np.ones(3), ridge=1.0, route="dual")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_network_kernel_of_more_rows_than_parameters(dtype):
    model = models.create("mlp4x1", num_outputs=3)
    x = np.random.default_rng(0).normal(size=(60, 3, 3, 1)).astype(np.float32)
    variables = models.init(model, jax.random.key(0), x.shape[1:])
    gram = ntk.gram(model.apply, variables, x, outputs="full", dtype="float64")
    y = np.random.default_rng(1).normal(size=(60, 3))
    ridge = 0.05 * float(np.trace(gram)) / len(gram)
    kernel = ntk.operator(model.apply, variables, x, dtype=dtype)
    assert kernel.jacobian.shape[1] < kernel.shape[0]
    result = certify(kernel, y, ridge=ridge)
    exact = factorize(gram, ridge=ridge).complexity(y).complexity
    assert (result.route, result.stopped) == ("dual", "gap")
    assert result.states[0].left.dtype == dtype
    assert result.lower <= exact <= result.upper
    with pytest.raises(InputError, match="has a ridge of its own"):
        certify(ntk.operator(model.apply, variables, x, ridge=1.0), y, ridge=ridge)


def test_fitted_values_and_ritz_energy_are_the_kernels():
    dense, _ = jacobian_of(np.geomspace(1e-2, 1, 20), (50, 20))
    y = np.random.default_rng(0).normal(size=50)
    kernel = factored(dense)
    gram = dense @ dense.T
    solved = np.linalg.solve(gram + 1e-2 * np.eye(50), y)
    for route in ("primal", "dual"):
        result = certify(kernel, y, ridge=1e-2, relative_gap=1e-9, route=route)
        fitted = fitted_values(kernel, y, result.states[0], ridge=1e-2)
        np.testing.assert_allclose(fitted, gram @ solved, atol=1e-3)
        measure = ritz_energy(result.states[0], ridge=1e-2)
        assert measure.energy.sum() == pytest.approx(y @ y)
        assert measure.eigenvalues[0] == pytest.approx(1.0, rel=1e-6)
        gauss = (measure.energy / (measure.eigenvalues + 1e-2)).sum()
        assert gauss == pytest.approx(result.lower, rel=1e-6)
