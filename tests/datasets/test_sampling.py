import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.datasets.sampling import add_label_noise, generator, stratified_order

class_sizes = st.lists(st.integers(1, 30), min_size=1, max_size=6)


@given(class_sizes, st.integers(0, 5))
def test_stratified_order_is_a_permutation(sizes, seed):
    labels = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    order = stratified_order(labels, generator(seed))
    np.testing.assert_array_equal(np.sort(order), np.arange(len(labels)))


@given(st.integers(1, 8), st.integers(1, 12), st.integers(0, 5), st.data())
def test_every_beginning_and_end_holds_equal_classes_equally(k, per_class, seed, data):
    labels = np.tile(np.arange(k, dtype=np.int32), per_class)
    size = data.draw(st.integers(1, len(labels)))
    order = stratified_order(labels, generator(seed))
    for part in (order[:size], order[-size:]):
        counts = np.bincount(labels[part], minlength=k)
        assert counts.max() - counts.min() <= 1


@given(class_sizes, st.data())
def test_every_beginning_holds_unequal_classes_in_proportion(sizes, data):
    labels = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    size = data.draw(st.integers(1, len(labels)))
    counts = np.bincount(
        labels[stratified_order(labels, generator(0))[:size]], minlength=len(sizes)
    )
    # Each count is within one of t * (class size) for one common t; t differs from size / n by at
    # most (number of classes) / n.
    slack = 1 + np.array(sizes) * len(sizes) / len(labels)
    assert (np.abs(counts - np.array(sizes) * size / len(labels)) <= slack).all()


def test_order_is_random_within_classes_and_depends_on_the_seed():
    labels = np.zeros(50, np.int32)
    orders = [stratified_order(labels, generator(seed)).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_the_generator_gives_the_same_numbers_on_every_machine():
    # Taken once from NumPy 2.5.5 and 2.4.6, which agree; subsets change if a release differs.
    expected = [0.7701409510034741, 0.1119272443176843, 0.18909773329712753]
    np.testing.assert_array_equal(generator(7, 1).random(3), expected)


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_label_noise_changes_exactly_the_fraction_to_other_classes(fraction, num_classes):
    labels = np.arange(400, dtype=np.int32) % num_classes
    noisy = add_label_noise(labels, fraction=fraction, num_classes=num_classes, rng=generator(0))
    assert (noisy != labels).sum() == round(fraction * 400)
    assert noisy.dtype == np.int32
    assert noisy.min() >= 0
    assert noisy.max() < num_classes


def test_label_noise_is_uniform_over_the_other_classes():
    labels = np.full(30_000, 2, np.int32)
    noisy = add_label_noise(labels, fraction=1.0, num_classes=4, rng=generator(0))
    counts = np.bincount(noisy, minlength=4)
    assert counts[2] == 0
    # Five standard deviations of a binomial count with n = 30,000 and p = 1/3.
    np.testing.assert_allclose(counts[[0, 1, 3]], 10_000, atol=5 * 82)


def test_more_noise_keeps_the_changes_of_less_noise():
    labels = np.arange(200, dtype=np.int32) % 7
    less, more = (
        add_label_noise(labels, fraction=fraction, num_classes=7, rng=generator(3))
        for fraction in (0.2, 0.6)
    )
    changed = less != labels
    np.testing.assert_array_equal(less[changed], more[changed])


@pytest.mark.parametrize("num_classes", [2, 5])
def test_pair_noise_moves_the_same_examples_to_the_next_class(num_classes):
    labels = np.arange(200, dtype=np.int32) % num_classes
    symmetric, pair = (
        add_label_noise(labels, fraction=0.3, num_classes=num_classes, rng=generator(1), kind=kind)
        for kind in ("symmetric", "pair")
    )
    changed = pair != labels
    assert changed.sum() == 60
    np.testing.assert_array_equal(changed, symmetric != labels)
    np.testing.assert_array_equal(pair[changed], (labels[changed] + 1) % num_classes)
