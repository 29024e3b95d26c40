import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtheory import models, ntk
from kdtheory.complexity import certify, factorize
from kdtheory.complexity.lanczos import Lanczos
from kdtheory.complexity.norms import array_norm_bound, random_norm_bound
from kdtheory.complexity.primal import certified_interval
from kdtheory.errors import InputError, KernelError


def kernel_with_spectrum(spectrum, seed=0):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(spectrum),) * 2))
    return (q * spectrum) @ q.T, q


def exact_complexity(gram, y, ridge):
    """Y^T (K + ridge I)^-1 Y of the matrix as stored, by a Cholesky in extended precision."""
    a = gram.astype(np.longdouble)
    a = (a + a.T) / 2 + np.longdouble(ridge) * np.eye(len(y))
    rest = y.astype(np.longdouble)
    total = np.longdouble(0)
    for i in range(len(y)):
        total += rest[i] ** 2 / a[i, i]
        column = a[i + 1 :, i] / a[i, i]
        rest[i + 1 :] -= column * rest[i]
        a[i + 1 :, i + 1 :] -= np.outer(column, a[i, i + 1 :])
    return float(total)


def in_float32(gram):
    """Products with the kernel in float32."""
    single = gram.astype(np.float32)
    return lambda v: single @ v.astype(np.float32)


spectrum_shapes = st.sampled_from(["geometric", "two clusters", "one small", "null space", "flat"])


def spectrum_of(shape, condition, n):
    if shape == "geometric":
        return np.geomspace(1 / condition, 1, n)
    if shape == "two clusters":
        return np.where(np.arange(n) < n // 2, 1 / condition, 1.0) * np.linspace(1, 1.1, n)
    if shape == "one small":
        return np.where(np.arange(n) == 0, 1 / condition, 1.0)
    if shape == "null space":
        return np.where(np.arange(n) < n // 3, 0.0, np.linspace(0.2, 1, n))
    return np.ones(n)


def positive_as_stored(gram, dtype):
    """The kernel in a dtype, raised on the diagonal as far as rounding has made it indefinite."""
    stored = ((gram + gram.T) / 2).astype(dtype)
    shift = float(np.finfo(dtype).eps) * np.trace(gram) / len(gram)
    while np.linalg.eigvalsh(stored.astype(np.float64))[0] < -1e-15:
        stored = stored + np.diag(np.full(len(gram), shift)).astype(dtype)
        shift *= 2
    return stored


@settings(max_examples=150)
@given(
    spectrum_shapes,
    st.floats(0, 10),
    st.integers(2, 40),
    st.integers(0, 100),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([3, 10, 1000]),
    st.sampled_from(["random", "smallest", "largest", "eigenvector", "three", "without the top"]),
    st.booleans(),
)
def test_interval_contains_the_exact_value(
    shape, log_condition, n, seed, dtype, most, target, as_function
):  # fmt: skip
    condition = 10**log_condition
    gram, q = kernel_with_spectrum(spectrum_of(shape, condition, n), seed)
    gram = positive_as_stored(gram, dtype)
    ridge = 1 / condition
    y = np.random.default_rng(seed).normal(size=n)
    if target in ("smallest", "largest"):
        y = q[:, 0 if target == "smallest" else -1] + 1e-3 * y
    elif target == "eigenvector":
        y = q[:, seed % n]
    elif target == "three":
        y = q[:, [0, seed % n, n // 2]].sum(axis=1)
    elif target == "without the top":
        top = q[:, n // 2 :]
        y = y - top @ (top.T @ y)
    y = y.astype(dtype)
    kernel = (lambda v: gram @ v.astype(dtype)) if as_function else gram
    result = certify(kernel, y, ridge=ridge, relative_gap=1e-10, max_products=most)
    exact = exact_complexity(gram, y, ridge)
    assert 0 <= result.lower <= exact * (1 + 1e-9)
    assert result.upper >= exact * (1 - 1e-9)


@pytest.mark.parametrize("log_condition", [0, 2, 4, 6, 8])
def test_interval_is_narrow_in_float64(log_condition):
    spectrum = np.geomspace(10.0**-log_condition, 1, 60)
    gram, _ = kernel_with_spectrum(spectrum)
    y = np.random.default_rng(0).normal(size=60)
    result = certify(gram, y, smallest_eigenvalue=spectrum[0] * 0.9, relative_gap=1e-4)
    assert result.stopped == "gap"
    assert result.relative_gap <= 1e-4
    exact = exact_complexity(gram, y, 0.0)
    assert result.lower <= exact <= result.upper


def test_rounding_is_said_to_be_the_limit():
    spectrum = np.geomspace(1e-8, 1, 60)
    gram, _ = kernel_with_spectrum(spectrum)
    result = certify(in_float32(gram), np.ones(60), ridge=1e-7, relative_gap=1e-6)
    assert result.stopped == "rounding"
    assert result.relative_gap > 1e-6
    assert result.products < 1000


def test_number_of_products_is_the_limit():
    gram, _ = kernel_with_spectrum(np.geomspace(1e-6, 1, 80))
    result = certify(gram, np.ones(80), ridge=1e-6, relative_gap=1e-8, max_products=10)
    assert (result.stopped, result.products) == ("max_products", 10)


def test_gap_shrinks_with_products():
    gram, _ = kernel_with_spectrum(np.geomspace(1e-3, 1, 100))
    intervals = [
        certify(gram, np.ones(100), ridge=1e-3, relative_gap=1e-12, max_products=k)
        for k in (2, 5, 10, 20, 40)
    ]
    lower = [i.lower for i in intervals]
    upper = [i.upper for i in intervals]
    assert np.all(np.diff(lower) > 0)
    assert np.all(np.diff(upper) < 0)


def test_stack_of_targets_is_certified_at_once():
    gram, q = kernel_with_spectrum(np.geomspace(1e-3, 1, 24))
    y = np.random.default_rng(1).normal(size=(4, 12, 2))
    y[2] = 0
    y[3] = q[:, 5].reshape(12, 2)
    result = certify(gram, y, ridge=1e-3, relative_gap=1e-6)
    exact = factorize(gram, ridge=1e-3).complexity(y)
    assert np.all(result.lower <= exact.complexity * (1 + 1e-12))
    assert np.all(result.upper >= exact.complexity * (1 - 1e-12))
    np.testing.assert_array_equal(result.products[2:], [0, 1])
    assert result.stopped == ("gap",) * 4
    assert result.states[2] is None
    assert result.relative_gap[2] == 0
    lower, upper = result.adjusted(trace=float(np.trace(gram)), num_examples=12)
    assert np.all(lower <= exact.adjusted * (1 + 1e-12))
    assert np.all(upper >= exact.adjusted * (1 - 1e-12))


def test_functions_batched_or_not_and_arrays_agree():
    gram, _ = kernel_with_spectrum(np.geomspace(1e-2, 1, 20))
    y = np.random.default_rng(1).normal(size=(3, 20))
    options = {"ridge": 0.01, "relative_gap": 1e-5}
    shapes = []

    def one(v):
        shapes.append(v.shape)
        return gram @ v

    def many(v):
        shapes.append(v.shape)
        return gram @ v

    array = certify(gram, y, **options)
    single = certify(one, y, size=20, **options)
    assert set(shapes) == {(20,)}
    shapes.clear()
    batch = certify(many, y, size=20, batched=True, **options)
    assert shapes[0] == (20, 1)  # a random direction, for the kernel's norm
    assert (20, 3) in shapes
    for other in (single, batch):
        np.testing.assert_allclose(other.lower, array.lower)
        np.testing.assert_allclose(other.upper, array.upper)


def test_jax_products_are_in_float32_and_counted_as_such():
    gram, _ = kernel_with_spectrum(np.geomspace(1e-2, 1, 20))
    single = jnp.asarray(gram, jnp.float32)
    result = certify(lambda v: single @ jnp.asarray(v, jnp.float32), np.ones(20), ridge=0.1)
    assert result.states[0].basis.dtype == np.float32
    exact = exact_complexity(np.asarray(single), np.ones(20), 0.1)
    assert result.lower <= exact <= result.upper
    assert result.relative_gap < 1e-3


def test_going_on_from_a_state_is_the_same_as_not_stopping():
    gram, _ = kernel_with_spectrum(np.geomspace(1e-4, 1, 60))
    y = np.random.default_rng(1).normal(size=(2, 60))
    options = {"ridge": 1e-4, "relative_gap": 1e-6, "largest_eigenvalue": 1.1}
    whole = certify(gram, y, **options)
    count = []

    def product(v):
        count.append(1)
        return gram @ v

    part = certify(product, y, size=60, max_products=15, **options)
    rest = certify(product, y, size=60, states=part.states, **options)
    np.testing.assert_allclose(rest.lower, whole.lower, rtol=1e-12)
    np.testing.assert_allclose(rest.upper, whole.upper, rtol=1e-12)
    np.testing.assert_array_equal(rest.products, whole.products)
    assert len(count) == whole.products.sum()
    with pytest.raises(InputError, match="states belong to other targets"):
        certify(gram, y[::-1], states=part.states, **options)
    with pytest.raises(InputError, match="one a set of targets"):
        certify(gram, y[0], states=part.states, **options)


def test_a_product_less_accurate_than_stated_is_noticed_where_symmetry_shows_it():
    """Asymmetric noise of 1e-4 in the product widens the interval by itself."""
    gram, _ = kernel_with_spectrum(np.geomspace(1e-2, 1, 40))
    noise = 1e-4 * np.random.default_rng(2).normal(size=(40, 40)) / np.sqrt(40)
    exact = certify(gram, np.ones(40), ridge=0.01, relative_gap=1e-6)
    noisy = certify(lambda v: (gram + noise) @ v, np.ones(40), ridge=0.01, relative_gap=1e-6)
    assert noisy.rounding > 1e4 * exact.rounding
    assert noisy.stopped == "rounding"
    assert noisy.lower <= exact.lower <= exact.upper <= noisy.upper


def test_without_the_rounding_bound_the_interval_would_be_wrong():
    """Float32 products at condition 1e6 move T's own interval off the value."""
    spectrum = np.geomspace(1e-6, 1, 50)
    gram, q = kernel_with_spectrum(spectrum)
    gram = gram.astype(np.float32)
    y = (q[:, 0] + 0.1 * np.ones(50)).astype(np.float32)
    exact = exact_complexity(gram, y, 1e-6)
    result = certify(in_float32(gram), y, ridge=1e-6, relative_gap=1e-9)
    assert result.lower <= exact <= result.upper
    process = Lanczos(y, dtype=np.dtype(np.float32))
    while process.steps < 45:
        process.advance(gram @ process.direction + np.float32(1e-6) * process.direction)
    naive = certified_interval(process.diagonal, process.off_diagonal, node=1e-6, rounding=0.0)
    scale = process.norm**2
    assert not naive.lower * scale <= exact <= naive.upper * scale


def test_what_the_targets_do_not_see_of_the_kernel_still_rounds():
    """Targets exactly orthogonal to the top eigenvector; the value is 71."""
    n = 12
    gram = (1e5 * np.ones((n, n)) + np.eye(n)).astype(np.float32)
    y = np.array([3, -1, 4, -5, 2, -3, 1, -4, 5, -2, 4, -4.0])
    result = certify(gram, y, ridge=1.0)
    assert result.lower <= 71.0 <= result.upper
    assert result.relative_gap < 1e-3
    result = certify(in_float32(gram), y, ridge=1.0)
    assert result.lower <= 71.0 <= result.upper
    assert result.rounding > 4 * np.finfo(np.float32).eps * np.linalg.norm(gram)


@pytest.mark.parametrize("level", [1.0, 1e2, 1e4, 1e5, 1e6])
@pytest.mark.parametrize("as_function", [False, True])
def test_ones_and_a_diagonal(level, as_function):
    """The family of which 78 of 240 intervals once missed; sums of the targets are exactly 0."""
    for seed in range(24):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(5, 40))
        gram = (level * np.ones((n, n)) + np.diag(rng.choice([0.0, 1.0, 3.0], n))).astype(
            np.float32
        )
        y = rng.integers(-5, 6, n).astype(np.float64)
        y[0] -= y.sum()
        if not y.any():
            continue
        kernel = in_float32(gram) if as_function else gram
        result = certify(kernel, y, ridge=1.0)
        exact = exact_complexity(gram, y, 1.0)
        assert result.lower <= exact * (1 + 1e-12)
        assert result.upper >= exact * (1 - 1e-12)


def test_a_known_norm_takes_the_place_of_products():
    gram, _ = kernel_with_spectrum(np.geomspace(1e-2, 1, 20))
    count = []

    def product(v):
        count.append(1)
        return gram @ v

    known = certify(product, np.ones(20), ridge=0.1, largest_eigenvalue=float(np.trace(gram)))
    assert len(count) == known.products
    assert known.lower <= exact_complexity(gram, np.ones(20), 0.1) <= known.upper
    with pytest.raises(InputError, match="largest_eigenvalue must be >= smallest_eigenvalue = 0"):
        certify(gram, np.ones(20), ridge=0.1, largest_eigenvalue=-1.0)


@given(st.integers(1, 60), st.integers(0, 200), st.floats(0, 4))
def test_norm_bounds_are_not_below_the_norm(n, seed, decay):
    gram, _ = kernel_with_spectrum(np.arange(1.0, n + 1) ** -decay, seed)
    assert array_norm_bound(gram) >= np.linalg.norm(gram, 2)
    bound = random_norm_bound(lambda v: gram @ v, n, seed=seed)
    assert 1 <= bound <= 12


def test_a_norm_bound_fails_as_seldom_as_is_said():
    first = np.eye(30)[0]
    starts = [
        random_norm_bound(lambda v: first * (first @ v), 30, failure=0.2, steps=1, seed=s)
        for s in range(1000)
    ]
    assert 0.1 < np.mean(np.array(starts) < 1) < 0.2 + 2 * np.sqrt(0.16 / 1000)


def test_full_reorthogonalisation_keeps_the_basis_orthonormal():
    spectrum = np.concatenate([np.linspace(0, 1e-3, 150), [1.0, 10.0, 100.0]])
    gram, _ = kernel_with_spectrum(spectrum)
    process = Lanczos(np.ones(153), dtype=np.dtype(np.float64))
    for _ in range(60):
        process.advance(gram @ process.direction)
    basis = process.state.basis
    np.testing.assert_allclose(basis @ basis.T, np.eye(61), atol=1e-13)


def test_a_floor_above_the_smallest_eigenvalue_is_refused():
    gram, q = kernel_with_spectrum(np.linspace(0.1, 1, 12))
    with pytest.raises(KernelError, match="smallest_eigenvalue is too large"):
        certify(gram, np.ones(12), smallest_eigenvalue=0.3, relative_gap=1e-12)
    with pytest.raises(KernelError, match="not positive semidefinite"):
        certify(lambda v: -(gram @ v), q[:, 0], ridge=0.05)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, r"an upper bound needs ridge > 0"),
        ({"ridge": -1.0}, "ridge must be finite and >= 0"),
        ({"ridge": 1.0, "relative_gap": 0.0}, "relative_gap"),
        ({"ridge": 1.0, "max_products": 0}, "max_products"),
    ],
)
def test_bad_certify_input(options, words):
    with pytest.raises(InputError, match=words):
        certify(np.eye(3), np.ones(3), **options)


def test_bad_products():
    with pytest.raises(KernelError, match="must be finite"):
        certify(lambda v: v * np.nan, np.ones(3), ridge=1.0)
    with pytest.raises(KernelError, match=r"got shape \(2, 1\)"):
        certify(lambda v: v[:2], np.ones(3), ridge=1.0)
    with pytest.raises(InputError, match="do not fit a kernel of 3 rows"):
        certify(np.eye(3), np.ones(4), ridge=1.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_network_kernel_without_its_matrix(dtype):
    model = models.create("mlp", num_outputs=2)
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 1)).astype(np.float32)
    variables = models.init(model, jax.random.key(0), x.shape[1:])
    gram = ntk.gram(model.apply, variables, x, outputs="full", dtype="float64")
    y = np.random.default_rng(1).normal(size=(2, 8, 2))
    ridge = 0.05 * float(np.trace(gram)) / 16
    kernel = ntk.operator(model.apply, variables, x, dtype=dtype)
    result = certify(lambda v: kernel @ v, y, ridge=ridge, product_error=64.0)
    exact = np.asarray(factorize(gram, ridge=ridge).complexity(y).complexity)
    assert np.all(result.lower <= exact)
    assert np.all(exact <= result.upper)
    assert np.all(result.relative_gap < 1e-2)
    assert result.states[0].basis.dtype == dtype
