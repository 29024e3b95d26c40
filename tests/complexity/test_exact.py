import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.complexity import factorize, ridge_from_trace
from kdtheory.errors import InputError, KernelError


def kernel_with_spectrum(spectrum, seed=0):
    """K = Q diag(s) Q^T and its eigenvectors Q (columns)."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(spectrum),) * 2))
    return (q * spectrum) @ q.T, q


spectra = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12).map(np.array)


@given(spectra, st.integers(0, 10), st.floats(0, 10))
def test_targets_in_known_eigendirections_have_the_known_complexity(spectrum, seed, ridge):
    gram, q = kernel_with_spectrum(spectrum, seed)
    weights = np.random.default_rng(seed).normal(size=(3, len(spectrum)))
    result = factorize(gram, ridge=ridge).complexity(weights @ q.T)
    expected = (weights**2 / (spectrum + ridge)).sum(axis=1)
    np.testing.assert_allclose(result.complexity, expected, rtol=1e-8)
    np.testing.assert_allclose(
        result.adjusted, np.sqrt(expected * spectrum.sum()) / len(spectrum), rtol=1e-8
    )
    assert result.trace == pytest.approx(spectrum.sum())
    assert result.ridge == ridge
    assert np.all(result.residual < 1e-9)


def test_ill_conditioned_kernel_keeps_its_value_in_float64():
    spectrum = np.logspace(-9, 0, 40)
    gram, q = kernel_with_spectrum(spectrum)
    result = factorize(gram).complexity(q[:, 20] * 3)
    assert result.complexity == pytest.approx(9 / spectrum[20], rel=1e-5)
    assert 1e8 < result.condition < 1e12


@given(spectra, st.floats(1e-4, 1e4), st.floats(-50, 50), st.integers(0, 5))
def test_scale_laws(spectrum, c, a, seed):
    gram, _ = kernel_with_spectrum(spectrum, seed)
    targets = np.random.default_rng(seed).normal(size=len(spectrum))
    base = factorize(gram).complexity(targets)
    scaled_kernel = factorize(c * gram).complexity(targets)
    assert scaled_kernel.complexity == pytest.approx(base.complexity / c)
    assert scaled_kernel.adjusted == pytest.approx(base.adjusted)
    assert scaled_kernel.condition == pytest.approx(base.condition)
    scaled_targets = factorize(gram).complexity(a * targets)
    assert scaled_targets.complexity == pytest.approx(a**2 * base.complexity)
    assert scaled_targets.adjusted == pytest.approx(abs(a) * base.adjusted)


def test_linear_model_complexity_is_the_squared_norm_of_its_weights():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(8, 8)), rng.normal(size=8)
    result = factorize(x @ x.T).complexity(x @ w)
    assert result.complexity == pytest.approx(w @ w)


def test_random_signs_cost_the_trace_of_the_inverse_on_average():
    gram, _ = kernel_with_spectrum(np.array([0.5, 1.0, 2.0]))
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    result = factorize(gram).complexity(signs)
    assert result.complexity.mean() == pytest.approx(2 + 1 + 0.5)
    assert np.sqrt((result.adjusted**2).mean()) >= 1


def test_full_kernel_is_example_major_and_counts_examples():
    rng = np.random.default_rng(1)
    n, d = 3, 2
    a, b = (m @ m.T + np.eye(len(m)) for m in (rng.normal(size=(n, n)), rng.normal(size=(d, d))))
    y = rng.normal(size=(n, d))
    gram = np.kron(a, b)
    expected = np.trace(np.linalg.solve(a, y) @ np.linalg.solve(b, y.T))
    adjusted = np.sqrt(expected * np.trace(a) * np.trace(b)) / n
    one = factorize(gram).complexity(y)
    assert one.complexity == pytest.approx(expected)
    assert one.adjusted == pytest.approx(adjusted)
    stack = factorize(gram).complexity(np.stack([y, 2 * y]))
    np.testing.assert_allclose(stack.complexity, [expected, 4 * expected])
    flat = factorize(gram, num_outputs=d).complexity(y.reshape(-1))
    assert flat.adjusted == pytest.approx(adjusted)
    flats = factorize(gram, num_outputs=d).complexity(np.stack([y.reshape(-1)] * 4))
    np.testing.assert_allclose(flats.adjusted, [adjusted] * 4)


@pytest.mark.parametrize(
    ("shape", "stacked"),
    [((6,), False), ((3, 2), False), ((6, 1), False), ((1, 6), True), ((4, 6), True),
     ((6, 6), True), ((2, 6, 1), True), ((5, 3, 2), True), ((1, 2, 3), True)],
)  # fmt: skip
def test_every_target_shape_is_read_in_one_way(shape, stacked):
    gram, _ = kernel_with_spectrum(np.arange(1.0, 7))
    y = np.random.default_rng(2).normal(size=shape)
    result = factorize(gram).complexity(y)
    flat = y.reshape(-1, 6)
    expected = np.einsum("ki,ij,kj->k", flat, np.linalg.inv(gram), flat)
    assert isinstance(result.complexity, np.ndarray) == stacked
    np.testing.assert_allclose(np.atleast_1d(result.complexity), expected)
    assert np.shape(result.residual) == np.shape(result.adjusted) == np.shape(result.complexity)
    assert factorize(gram).solve(y).shape == shape
    np.testing.assert_allclose(factorize(gram).solve(y).reshape(-1, 6) @ gram, flat)


def test_jax_arrays_and_float32_grams_are_computed_in_float64():
    gram, q = kernel_with_spectrum(np.array([1.0, 2.0, 4.0]))
    result = factorize(jnp.asarray(gram, jnp.float32)).complexity(jnp.asarray(q[:, 2], jnp.float32))
    assert result.complexity == pytest.approx(
        float(q[:, 2] @ np.linalg.inv(gram) @ q[:, 2]), rel=1e-5
    )
    assert result.residual < 1e-14
    with jax.enable_x64(True):
        assert factorize(jnp.asarray(gram)).complexity(jnp.asarray(q[:, 2])).residual < 1e-14


def test_float32_work_has_float32_residuals():
    gram, q = kernel_with_spectrum(np.logspace(0, 3, 30))
    result = factorize(gram, dtype=np.float32).complexity(q[:, 3])
    assert 1e-9 < result.residual < 1e-4
    assert result.complexity == pytest.approx(1 / np.logspace(0, 3, 30)[3], rel=1e-2)


def test_condition_is_the_one_norm_condition():
    gram, _ = kernel_with_spectrum(np.logspace(-4, 1, 20))
    exact = np.linalg.cond(gram, 1)
    assert exact / 3 <= factorize(gram).complexity(np.ones(20)).condition <= exact * (1 + 1e-6)


def test_inverse_diagonal():
    gram, _ = kernel_with_spectrum(np.logspace(-2, 1, 15))
    expected = np.diag(np.linalg.inv(gram + 0.1 * np.eye(15)))
    np.testing.assert_allclose(factorize(gram, ridge=0.1).inverse_diagonal(), expected)


def test_residual_tells_a_wrong_solution(monkeypatch):
    gram, q = kernel_with_spectrum(np.arange(1.0, 9))
    factor = factorize(gram)
    factor._packed[5, 2] += 0.5
    assert factor.complexity(q[:, 0]).residual > 1e-3


def test_the_gram_is_not_changed():
    gram, _ = kernel_with_spectrum(np.arange(1.0, 5))
    before = gram.copy()
    factorize(gram, ridge=1.0)
    np.testing.assert_array_equal(gram, before)


def bad(case):
    gram, _ = kernel_with_spectrum(np.arange(1.0, 7))
    if case == "nan":
        gram[2, 3] = np.nan
    elif case == "inf":
        gram[2, 2] = np.inf
    elif case == "asymmetric":
        gram[0, 1] += 0.25
    elif case == "square":
        gram = gram[:4]
    elif case == "indefinite":
        gram = gram - 1.5 * np.eye(6)
    elif case == "singular":
        gram, _ = kernel_with_spectrum(np.array([0.0, 0, 1, 2, 3]))
    elif case == "zero":
        gram = np.zeros((3, 3))
    elif case == "tiny":
        gram = 1e-320 * np.eye(4)
    elif case == "empty":
        gram = np.zeros((0, 0))
    elif case == "four axes":
        gram = np.zeros((2, 2, 3, 3))
    return gram


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("nan", r"2|1 entries that are NaN"),
        ("inf", r"1 entries that are NaN or infinite, the first at \(2, 2\)"),
        ("asymmetric", r"not symmetric: .* differ by up to 0\.25"),
        ("square", r"square matrix, got shape \(4, 6\)"),
        ("four axes", r"transpose\(0, 2, 1, 3\)"),
        ("indefinite", r"indefinite: its smallest eigenvalue is -0\.5 "),
        ("singular", r"singular at the precision of float64"),
        ("zero", r"kernel is zero: its only function is 0"),
        ("tiny", r"no entries above 1e-320, .* divide it by its mean diagonal"),
        ("empty", r"empty"),
    ],
)
def test_unusable_kernels_are_refused_in_one_line(case, words):
    with pytest.raises(KernelError, match=words) as error:
        factorize(bad(case))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ridge", [0.0, 1.0, 5.0])
@pytest.mark.parametrize(
    "gram",
    [
        -0.5 * np.eye(3),
        np.diag([4.0, -0.5, 4.0]),
        # Each entry is within rounding of zero, and yet no kernel has this trace.
        np.array([[-1e-16, 1.0], [1.0, -1e-16]]),
    ],
    ids=["negative", "one entry", "trace"],
)
def test_a_negative_diagonal_is_refused_whatever_the_ridge(gram, ridge):
    with pytest.raises(KernelError, match=r"indefinite: diagonal entry .* never negative") as error:
        factorize(gram, ridge=ridge)
    assert "\n" not in str(error.value)


def test_a_diagonal_entry_below_zero_by_rounding_is_a_zero():
    gram = np.diag([1.0, 2.0, -1e-17])
    assert factorize(gram, ridge=1.0).complexity(np.ones(3)).complexity == pytest.approx(11 / 6)


@pytest.mark.parametrize("case", ["indefinite", "singular"])
def test_the_named_ridge_is_enough(case):
    gram = bad(case)
    with pytest.raises(KernelError) as error:
        factorize(gram)
    ridge = float(str(error.value).split("ridge >= ")[1].split(",")[0])
    assert factorize(gram, ridge=ridge).complexity(np.ones(len(gram))).complexity > 0


@given(st.floats(4.0, 9.0), st.integers(0, 5), st.integers(5, 60))
def test_float32_gram_is_trusted_only_as_far_as_float32_goes(log_condition, seed, size):
    """The float64 Cholesky of a float32 kernel often succeeds where its value means nothing."""
    spectrum = np.logspace(-log_condition, 0, size)
    gram, _ = kernel_with_spectrum(spectrum, seed)
    single = gram.astype(np.float32)
    try:
        assert factorize(single).condition <= 1 / np.finfo(np.float32).eps
        message = None
    except KernelError as error:
        message = str(error)
    if message is not None:
        assert np.linalg.cond(gram, 1) > 0.1 / np.finfo(np.float32).eps
        assert "compute the kernel in float64 or give ridge >= " in message
        ridge = float(message.split("ridge >= ")[1].split(",")[0])
        assert ridge < 1e-2
        factorize(single, ridge=ridge)
        factorize(gram)


def test_bfloat16_gram_has_its_own_precision():
    gram, _ = kernel_with_spectrum(np.logspace(-4, 0, 8))
    with pytest.raises(KernelError, match="precision of bfloat16"):
        factorize(jnp.asarray(gram, jnp.bfloat16))


def test_rounding_asymmetry_is_averaged():
    gram, _ = kernel_with_spectrum(np.arange(1.0, 700))
    noisy = gram.astype(np.float32) * (1 + np.triu(np.full(gram.shape, 1e-6, np.float32), 1))
    y = np.ones(len(gram))
    exact = factorize((noisy.astype(np.float64) + noisy.T) / 2).complexity(y).complexity
    assert factorize(noisy).complexity(y).complexity == pytest.approx(exact, rel=1e-12)


def test_asymmetry_is_found_in_any_block():
    gram = np.eye(1100)
    gram[1050, 20] = 1e-3
    with pytest.raises(KernelError, match="not symmetric"):
        factorize(gram)


@pytest.mark.parametrize("ridge", [-1e-9, np.nan, np.inf])
def test_bad_ridge(ridge):
    with pytest.raises(InputError, match="ridge must be finite and >= 0"):
        factorize(np.eye(2), ridge=float(ridge))


@pytest.mark.parametrize("shape", [(5,), (7,), (2, 2), (0, 6), (6, 2), (2, 3, 2, 1), ()])
def test_targets_of_another_length(shape):
    with pytest.raises(InputError, match="do not fit a kernel of 6 rows"):
        factorize(np.eye(6)).complexity(np.ones(shape))


def test_targets_with_another_number_of_outputs():
    with pytest.raises(InputError, match=r"\(n, 2\) with n \* 2 = 6"):
        factorize(np.eye(6), num_outputs=2).complexity(np.ones((2, 3)))


def test_targets_that_are_not_finite():
    with pytest.raises(InputError, match="1 values that are NaN"):
        factorize(np.eye(2)).complexity(np.array([1.0, np.nan]))


@pytest.mark.parametrize("options", [{"dtype": np.float16}, {"num_outputs": 4}, {"num_outputs": 0}])
def test_bad_options(options):
    with pytest.raises(InputError):
        factorize(np.eye(6), **options)


def test_ridge_from_trace_makes_complexity_scale_like_the_kernel():
    gram, _ = kernel_with_spectrum(np.logspace(-6, 1, 9))
    y = np.ones(9)
    values = [
        factorize(c * gram, ridge=ridge_from_trace(c * gram, 1e-3)).complexity(y)
        for c in (1.0, 64.0)
    ]
    assert values[0].complexity == pytest.approx(64 * values[1].complexity)
    assert values[0].adjusted == pytest.approx(values[1].adjusted)
    with pytest.raises(InputError, match="fraction"):
        ridge_from_trace(gram, 0.0)
    with pytest.raises(KernelError, match="diagonal"):
        ridge_from_trace(np.diag([1.0, np.nan]), 0.1)
