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
from kdtheory.complexity.golub_kahan import GolubKahan
from kdtheory.errors import InputError, KernelError


def jacobian_of(spectrum, shape, seed=0):
    """A matrix whose J J^T has these largest eigenvalues, the rest being 0; and its left vectors."""
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
        print(log_condition, result.relative_gap, result.products, result.stopped)
        assert (result.route, result.stopped) == ("dual", "gap")


def test_rounding_costs_the_root_of_the_condition_number_only():
    dense, _ = jacobian_of(np.geomspace(1e-7, 1, 40), (90, 40))
    dense = dense.astype(np.float32)
    y = np.random.default_rng(0).normal(size=90).astype(np.float32)
    options = {"ridge": 1e-7, "relative_gap": 1e-9}
    dual = certify(factored(dense), y, route="dual", **options)
    primal = certify(factored(dense), y, route="primal", **options)
    print(dual, primal)
    assert dual.stopped == primal.stopped == "rounding"
    assert dual.relative_gap < 0.1
    assert primal.relative_gap > 1
    exact = exact_complexity(dense, y, 1e-7)
    assert primal.lower <= dual.lower <= exact <= dual.upper <= primal.upper
