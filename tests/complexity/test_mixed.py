"""The mixed-precision route: float32 factor, float64 bounds."""

import decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtheory.complexity import certify, factorize
from kdtheory.errors import InputError, KernelError


def kernel_with_spectrum(spectrum, seed=0):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(spectrum),) * 2))
    gram = (q * spectrum) @ q.T
    return (gram + gram.T) / 2, q


def exact_complexity(gram, y, ridge):
    """Y^T (K + ridge I)^-1 Y of the matrix as stored, in 50 digits."""
    exactly = np.vectorize(lambda value: decimal.Decimal(float(value)), otypes=[object])
    with decimal.localcontext(prec=50):
        a, rest = exactly(gram) + decimal.Decimal(ridge) * exactly(np.eye(len(y))), exactly(y)
        total = decimal.Decimal(0)
        for i in range(len(y)):
            total += rest[i] ** 2 / a[i, i]
            column = a[i + 1 :, i] / a[i, i]
            rest[i + 1 :] -= column * rest[i]
            a[i + 1 :, i + 1 :] -= np.outer(column, a[i, i + 1 :])
        return float(total)


@settings(max_examples=100)
@given(
    st.sampled_from(["geometric", "one small", "flat"]),
    st.floats(0, 10),
    st.integers(1, 30),
    st.integers(0, 100),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([1, 2, 1000]),
    st.sampled_from(["random", "smallest", "largest"]),
    st.floats(-30, 30),
)
def test_interval_contains_the_exact_value(
    shape, log_condition, n, seed, dtype, most, target, log_scale
):
    condition = 10**log_condition
    spectrum = {
        "geometric": np.geomspace(1 / condition, 1, n),
        "one small": np.where(np.arange(n) == 0, 1 / condition, 1.0),
        "flat": np.ones(n),
    }[shape]
    gram, q = kernel_with_spectrum(spectrum, seed)
    gram = (gram * 10**log_scale).astype(dtype)
    lowest = float(np.linalg.eigvalsh(gram.astype(np.float64))[0])
    # Rounding to float32 may have made it indefinite; the ridge makes up for that.
    ridge = 10**log_scale / condition + 2 * max(-lowest, 0.0)
    y = np.random.default_rng(seed).normal(size=n)
    if target != "random":
        y = q[:, 0 if target == "smallest" else -1] + 1e-3 * y
    options = {"ridge": ridge, "relative_gap": 1e-10, "max_products": most}
    if lowest < 0:
        # The node is below every eigenvalue: a smaller ridge than the one in the matrix.
        shifted = gram.astype(np.float64) + np.diag(np.full(n, -2 * lowest))
        gram, options["ridge"] = (shifted + shifted.T) / 2, ridge + 2 * lowest
    result = certify(gram, y, route="mixed", **options)
    exact = exact_complexity(gram, y, options["ridge"])
    assert result.route == "mixed"
    assert result.lower <= exact * (1 + 1e-14)
    assert result.upper >= exact * (1 - 1e-14)


@pytest.mark.parametrize("log_condition", [0, 2, 4, 6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_few_products_reach_a_small_gap(log_condition, dtype):
    spectrum = np.geomspace(10.0**-log_condition, 1, 120)
    gram = kernel_with_spectrum(spectrum)[0].astype(dtype)
    y = np.random.default_rng(0).normal(size=(3, 120))
    y[1] = 0
    options = {"ridge": 10.0**-log_condition, "relative_gap": 1e-6}
    result = certify(gram, y, route="mixed", **options)
    assert result.stopped == ("gap",) * 3
    assert np.all(result.products <= 6)
    assert result.lower[1] == result.upper[1] == 0
    exact = factorize(gram.astype(np.float64), ridge=options["ridge"]).complexity(y).complexity
    assert np.all(result.lower <= exact * (1 + 1e-9))
    assert np.all(result.upper >= exact * (1 - 1e-9))


def test_a_kernel_without_a_float32_factor_is_shifted_for_the_preconditioner_only():
    """Condition 1e9: float32 has no Cholesky factor of it, and the bounds hold all the same."""
    gram, _ = kernel_with_spectrum(np.geomspace(1e-9, 1, 150))
    y = np.random.default_rng(0).normal(size=150)
    result = certify(gram, y, ridge=1e-9, relative_gap=1e-4, route="mixed")
    assert result.stopped == "gap"
    exact = exact_complexity(gram, y, 1e-9)
    assert result.lower <= exact <= result.upper


def test_auto_takes_it_for_large_arrays_and_says_so():
    gram, _ = kernel_with_spectrum(np.geomspace(1e-2, 1, 512))
    y = np.random.default_rng(0).normal(size=512)
    options = {"ridge": 1e-2, "relative_gap": 1e-6}
    mixed = certify(gram, y, **options)
    lanczos = certify(lambda v: gram @ v, y, **options)
    small = certify(gram[:100, :100], y[:100], **options)
    assert (mixed.route, lanczos.route, small.route) == ("mixed", "primal", "primal")
    assert max(mixed.lower, lanczos.lower) <= min(mixed.upper, lanczos.upper)
    part = certify(gram, y, route="primal", max_products=3, **options)
    assert certify(gram, y, states=part.states, **options).route == "primal"


def test_kernels_that_are_none():
    gram, q = kernel_with_spectrum(np.linspace(0.1, 1, 20))
    with pytest.raises(KernelError, match="not symmetric"):
        certify(gram + np.triu(gram, 1), np.ones(20), ridge=0.1, route="mixed")
    broken = gram.copy()
    broken[3, 4] = np.nan
    with pytest.raises(KernelError, match="NaN or infinite"):
        certify(broken, np.ones(20), ridge=0.1, route="mixed")
    with pytest.raises(KernelError, match="no float32 Cholesky factor"):
        certify(gram - 0.5 * np.eye(20), np.ones(20), ridge=0.1, route="mixed")
    with pytest.raises(KernelError, match="smallest_eigenvalue is too large"):
        certify(gram, q[:, 0], smallest_eigenvalue=0.3, route="mixed")


def test_rounding_level_asymmetry_is_in_the_interval():
    gram, _ = kernel_with_spectrum(np.geomspace(1e-3, 1, 40))
    noise = 1e-15 * np.random.default_rng(3).normal(size=(40, 40))
    y = np.random.default_rng(0).normal(size=40)
    result = certify(gram + noise, y, ridge=1e-3, relative_gap=1e-9, route="mixed")
    both = gram + (noise + noise.T) / 2
    assert result.lower <= exact_complexity(both, y, 1e-3) <= result.upper


def test_what_it_does_not_take(tmp_path):
    for options in ({"checkpoint": tmp_path / "s.npz"}, {"states": (None,)}):
        with pytest.raises(InputError, match='route "mixed" needs an array, and takes no'):
            certify(np.eye(3), np.ones(3), ridge=1.0, route="mixed", **options)
    with pytest.raises(InputError, match='route "mixed" needs an array'):
        certify(lambda v: v, np.ones(3), ridge=1.0, route="mixed")
    with pytest.raises(InputError, match="unknown route 'fast'; known: auto, dual, mixed, primal"):
        certify(np.eye(3), np.ones(3), ridge=1.0, route="fast")
