import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtheory.complexity import certify, factorize, nystrom
from kdtheory.errors import InputError, KernelError


def kernel_with_spectrum(spectrum, seed=0):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(spectrum),) * 2))
    gram = (q * spectrum) @ q.T
    return (gram + gram.T) / 2, q


@settings(max_examples=60)
@given(
    st.integers(3, 40), st.integers(0, 50), st.floats(-7, 1), st.floats(0, 3), st.integers(1, 40)
)
def test_what_is_left_of_the_kernel_is_above_the_node(n, seed, log_ridge, decay, rank):
    gram, _ = kernel_with_spectrum(np.arange(1.0, n + 1) ** -decay, seed)
    ridge = 10**log_ridge
    preconditioner = nystrom(gram, ridge=ridge, rank=min(rank, n), seed=seed)
    root = preconditioner.root(np.eye(n))
    np.testing.assert_allclose(root, root.T, atol=1e-9 * np.abs(root).max())
    left = root @ (gram + ridge * np.eye(n)) @ root
    spectrum = np.linalg.eigvalsh((left + left.T) / 2)
    assert spectrum[0] >= preconditioner.node - 1e-15 / ridge
    assert 0.5 <= preconditioner.node < 1
    assert preconditioner.amplification >= (np.linalg.norm(gram, 2) + ridge) / ridge * 0.99


@settings(max_examples=60)
@given(
    st.integers(3, 40),
    st.integers(0, 50),
    st.floats(-8, 1),
    st.floats(0, 3),
    st.integers(1, 40),
    st.sampled_from([2, 5, 1000]),
)
def test_preconditioned_interval_contains_the_value(n, seed, log_ridge, decay, rank, most):
    gram, q = kernel_with_spectrum(np.arange(1.0, n + 1) ** -decay, seed)
    ridge = 10**log_ridge
    y = np.stack([np.random.default_rng(seed).normal(size=n), q[:, 0], q[:, -1]])
    preconditioner = nystrom(gram, ridge=ridge, rank=min(rank, n), seed=seed)
    result = certify(
        gram, y, ridge=ridge, preconditioner=preconditioner, relative_gap=1e-8, max_products=most
    )
    exact = np.asarray(factorize(gram, ridge=ridge).complexity(y).complexity)
    slack = 1e-14 / ridge
    assert np.all(result.lower <= exact * (1 + slack))
    assert np.all(result.upper >= exact * (1 - slack))


def test_fewer_products_are_needed_where_few_eigenvalues_are_large():
    gram, _ = kernel_with_spectrum(np.arange(1.0, 301) ** -2.0)
    y = np.random.default_rng(0).normal(size=300)
    options = {"ridge": 1e-5, "relative_gap": 1e-6}
    plain = certify(gram, y, **options)
    helped = certify(gram, y, preconditioner=nystrom(gram, ridge=1e-5, rank=60), **options)
    assert plain.stopped == helped.stopped == "gap"
    assert helped.products < plain.products / 2
    assert max(plain.lower, helped.lower) <= min(plain.upper, helped.upper)


def test_float32_products_give_a_float32_preconditioner():
    gram, _ = kernel_with_spectrum(np.arange(1.0, 101) ** -2.0)
    single = gram.astype(np.float32)
    y = np.random.default_rng(0).normal(size=100).astype(np.float32)
    options = {"ridge": 0.05, "size": 100, "batched": True}
    preconditioner = nystrom(lambda v: single @ v.astype(np.float32), rank=20, **options)
    assert preconditioner.basis.dtype == np.float32
    result = certify(
        lambda v: single @ v.astype(np.float32), y, preconditioner=preconditioner, **options
    )
    exact = factorize(single.astype(np.float64), ridge=0.05).complexity(y).complexity
    assert result.lower <= exact <= result.upper
    assert result.states[0].basis.dtype == np.float32
    with pytest.raises(KernelError, match=r"rounding of float32 products .* give ridge >="):
        nystrom(lambda v: single @ v.astype(np.float32), rank=20, **options | {"ridge": 1e-6})


def test_going_on_with_a_preconditioner():
    gram, _ = kernel_with_spectrum(np.arange(1.0, 101) ** -1.0)
    y = np.random.default_rng(0).normal(size=100)
    options = {
        "ridge": 1e-4,
        "relative_gap": 1e-7,
        "preconditioner": nystrom(lambda v: gram @ v, ridge=1e-4, rank=10, size=100),
    }
    whole = certify(gram, y, **options)
    part = certify(gram, y, max_products=5, **options)
    rest = certify(gram, y, states=part.states, **options)
    assert rest.lower == pytest.approx(whole.lower, rel=1e-12)
    assert rest.products == whole.products


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ridge": 0.0, "rank": 2}, "ridge > 0"),
        ({"ridge": 1.0, "rank": 0}, r"rank must be 1\.\.4"),
        ({"ridge": 1.0, "rank": 5}, r"rank must be 1\.\.4"),
    ],
)
def test_bad_nystrom_input(options, words):
    with pytest.raises(InputError, match=words):
        nystrom(np.eye(4), **options)


def test_preconditioner_of_another_ridge_or_without_size():
    preconditioner = nystrom(np.eye(4), ridge=1.0, rank=2)
    with pytest.raises(InputError, match="preconditioner is for ridge 1, got ridge 2"):
        certify(np.eye(4), np.ones(4), ridge=2.0, preconditioner=preconditioner)
    with pytest.raises(InputError, match="size is needed"):
        nystrom(lambda v: v, ridge=1.0, rank=2)


def test_kernels_that_are_zero_or_indefinite():
    for gram in (np.zeros((4, 4)), lambda v: -v):
        with pytest.raises(KernelError, match="zero or not positive semidefinite"):
            nystrom(gram, ridge=1.0, rank=2, size=4)
    with pytest.raises(KernelError, match="indefinite: diagonal entry 0 is -1"):
        nystrom(-np.eye(4), ridge=1.0, rank=2)
    with pytest.raises(KernelError, match="must be finite"):
        nystrom(lambda v: v * np.nan, ridge=1.0, rank=2, size=4)
