"""The public fixtures are what they say they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.bounds import prequential_bound
from kdtheory.complexity import factorize
from kdtheory.errors import InputError, KernelError
from kdtheory.testing import certified_sample, faulty_kernels, known_kernel, memorising_kernel


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12), st.integers(0, 100), st.floats(0, 10)
)
def test_the_complexity_of_a_known_kernel_is_known(eigenvalues, seed, ridge):
    known = known_kernel(eigenvalues, seed=seed)
    coefficients = np.random.default_rng(seed).normal(size=len(eigenvalues))
    found = factorize(known.gram, ridge=ridge).complexity(known.targets(coefficients))
    assert found.complexity == pytest.approx(known.complexity(coefficients, ridge), rel=1e-9)
    np.testing.assert_array_equal(known.gram, known.gram.T)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(known.gram), np.sort(eigenvalues), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("eigenvalues", [[], [np.nan], np.ones((1, 1))])
def test_no_eigenvalues(eigenvalues):
    with pytest.raises(InputError, match="eigenvalues must be finite numbers"):
        known_kernel(eigenvalues)


@pytest.mark.parametrize("n", [2, 8, 40])
def test_faulty_kernels_are_refused_each_by_its_name(n):
    words = {
        "singular": "singular", "indefinite": "definite", "asymmetric": "symmetric",
        "not finite": "NaN",
    }  # fmt: skip
    for name, gram in faulty_kernels(n, seed=n).items():
        with pytest.raises(KernelError) as caught:
            factorize(gram)
        assert words[name] in str(caught.value), name
    factorize(faulty_kernels(n)["singular"], ridge=0.1)


def test_a_certificate_holds_on_the_sample_and_not_on_one_that_is_memorised():
    premises = {"targets_depend_on_sample": False}
    for seed in range(20):
        sample = certified_sample(200, seed=seed)
        held = prequential_bound(
            factorize(sample.gram, ridge=1.0), sample.targets, sample.labels,
            kernel_depends_on_sample=False, **premises,
        )  # fmt: skip
        assert held.bound > sample.least_risk
        memorised = prequential_bound(
            factorize(memorising_kernel(sample.labels), ridge=1.0), sample.targets, sample.labels,
            kernel_depends_on_sample=True, **premises,
        )  # fmt: skip
        assert memorised.bound < sample.least_risk
        assert memorised.validity == "diagnostic"
