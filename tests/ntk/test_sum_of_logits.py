"""The sum-of-logits kernel against the exact one."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.ntk import gram, sum_of_logits_error
from kdtheory.ntk.sum_of_logits import compare_sum_of_logits

N, D = 9, 4


class Net(nn.Module):
    width: int = 16

    @nn.compact
    def __call__(self, x):
        return nn.Dense(D)(nn.tanh(nn.Dense(self.width)(x)))


@pytest.fixture(scope="module")
def problem():
    x = np.random.default_rng(0).normal(size=(N, 5))
    return Net().apply, Net().init(jax.random.key(0), x.astype(np.float32)), x


def test_errors_are_those_of_the_kernels_themselves(problem):
    full = gram(*problem, dtype="float64")
    total = gram(*problem, outputs="sum", dtype="float64")
    mean = gram(*problem, outputs="trace", dtype="float64") / D
    found = sum_of_logits_error(*problem, key=jax.random.key(0), dtype="float64")
    norm = np.linalg.norm

    def relative(approximation):
        return norm(full - np.kron(approximation, np.eye(D))) / norm(full)

    assert found.mean_error.value == pytest.approx(norm(total - mean) / norm(mean))
    assert found.full_error.value == pytest.approx(relative(total))
    assert found.best_full_error.value == pytest.approx(relative(mean))
    assert found.scale == pytest.approx(np.trace(total) / np.trace(mean))
    assert found.cosine == pytest.approx(np.sum(total * mean) / norm(total) / norm(mean))
    assert sorted(found.examples) == list(range(N))


def test_no_kernel_for_all_outputs_alike_is_better_than_the_best(problem):
    full = gram(*problem, dtype="float64")
    best = compare_sum_of_logits(full, num_outputs=D).best_full_error.value
    mean = gram(*problem, outputs="trace", dtype="float64") / D
    for seed in range(5):
        other = mean * (1 + 0.05 * np.random.default_rng(seed).normal(size=mean.shape))
        error = np.linalg.norm(full - np.kron(other, np.eye(D))) / np.linalg.norm(full)
        assert error > best


def test_random_signs_error_is_the_mean_over_all_signs(problem):
    full = gram(*problem, dtype="float64")
    blocks = full.reshape(N, D, N, D)
    mean = np.einsum("iaja->ij", blocks) / D
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * D)).reshape(D, -1).T
    kernels = np.einsum("iajb,sa,sb->sij", blocks, signs, signs) / D
    np.testing.assert_allclose(kernels.mean(0), mean, rtol=1e-10)
    truth = np.sqrt(np.square(kernels - mean).sum((1, 2)).mean() / np.square(mean).sum())
    found = compare_sum_of_logits(full, num_outputs=D).random_signs_error
    assert found.value == pytest.approx(truth)


def test_outputs_that_share_nothing_are_exact():
    one = np.random.default_rng(0).normal(size=(N, N))
    one = one @ one.T
    found = compare_sum_of_logits(np.kron(one, np.eye(3)), num_outputs=3)
    assert found.full_error.value == pytest.approx(0, abs=1e-7)
    assert found.scale == pytest.approx(1)


def test_width_brings_it_closer_at_initialisation():
    """The theorem: K_sum tends to the mean over outputs as the width grows."""
    x = np.random.default_rng(0).normal(size=(N, 5)).astype(np.float32)

    def error(width):
        apply_fn = Net(width).apply
        return np.mean([
            sum_of_logits_error(
                apply_fn, Net(width).init(jax.random.key(seed), x), x, key=jax.random.key(0)
            ).mean_error.value
            for seed in range(5)
        ])  # fmt: skip

    assert error(512) < 0.5 * error(16)


def test_standard_errors_of_subsets_cover_the_whole(problem):
    apply_fn, variables, _ = problem
    x = np.random.default_rng(1).normal(size=(300, 5))
    whole = sum_of_logits_error(
        apply_fn, variables, x, key=jax.random.key(0), subset=300, dtype="float64"
    )
    z = {"mean_error": [], "full_error": []}
    for seed in range(30):
        found = sum_of_logits_error(
            apply_fn, variables, x, key=jax.random.key(seed), subset=30, dtype="float64"
        )
        for name, values in z.items():
            estimate = getattr(found, name)
            values.append((estimate.value - getattr(whole, name).value) / estimate.standard_error)
    for values in z.values():
        assert 0.4 < np.sqrt(np.mean(np.square(values))) < 1.8


def test_the_subset_is_the_key_s(problem):
    first, again, other = (
        sum_of_logits_error(*problem, key=jax.random.key(seed), subset=4).examples.tolist()
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert len(set(first)) == 4


def test_too_few_examples_get_one_clear_line(problem):
    with pytest.raises(InputError, match="a subset needs at least 3 examples; got 2"):
        sum_of_logits_error(*problem, key=jax.random.key(0), subset=2)
    with pytest.raises(InputError, match="d = 4 rows for each of at least 3 examples; got 10"):
        compare_sum_of_logits(np.eye(10), num_outputs=4)
    with pytest.raises(InputError, match="the kernel is zero"):
        compare_sum_of_logits(np.zeros((9, 9)), num_outputs=3)
