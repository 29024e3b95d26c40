"""Projections of per-layer gradients: the allocation of columns, and each map's variance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.errors import InputError
from kdtheory.ntk.contractions import Flat, RankOne
from kdtheory.ntk.projection import (
    SMALLEST_PART,
    CountSketch,
    Exact,
    Part,
    SignProduct,
    allocate,
    draw,
    project,
    variance,
)

FLOAT64 = np.dtype("float64")


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def flat(p, seed=0):
    return Flat(jnp.asarray(np.random.default_rng(seed).normal(size=(3, 1, p))))


def rank_one(p, q, seed=0):
    rng = np.random.default_rng(seed)
    # A common part: rows with an inner product to speak of.
    a = rng.normal(size=(3, p)) + 1.0
    return RankOne(jnp.asarray(a), jnp.asarray(rng.normal(size=(3, 1, q)) + 0.5))


def gradients(share):
    if isinstance(share, Flat):
        return np.asarray(share.gradients)[:, 0]
    outer = np.asarray(share.cotangents)[:, 0, :, None] * np.asarray(share.inputs)[:, None]
    return outer.reshape(len(outer), -1)


def draws(share, m, count):
    """Kernels and their stated variances, (count, 3, 3) each, over independent keys."""
    rows = gradients(share)
    norms = jnp.asarray((rows**2).sum(1))
    drawn = [draw(jax.random.key(seed), [share], [m], FLOAT64) for seed in range(count)]
    [part] = drawn[0][0]

    def one(projection):
        features = project([projection], [share])[:, 0]
        return variance(part, features, features, (norms, norms))

    together = jax.tree.map(lambda *leaves: np.stack(leaves), *[found[1][0] for found in drawn])
    if isinstance(together, Exact):
        return tuple(np.asarray(value)[None] for value in one(together))
    kernels, variances = jax.jit(jax.vmap(one))(together)
    return np.asarray(kernels), np.asarray(variances)


@given(
    weights=st.lists(st.floats(0, 1e6), min_size=1, max_size=6),
    data=st.data(),
)
def test_columns_are_all_given_out_within_each_layer_s_bounds(weights, data):
    count = len(weights)
    sizes = data.draw(st.lists(st.integers(1, 5000), min_size=count, max_size=count))
    least = sum(min(size, SMALLEST_PART) for size in sizes)
    dimension = data.draw(st.integers(least, 2 * sum(sizes)))
    columns = allocate(np.array(weights), sizes, dimension)
    assert sum(columns) == min(dimension, sum(sizes))
    for size, mine in zip(sizes, columns, strict=True):
        assert min(size, SMALLEST_PART) <= mine <= size


def test_columns_are_proportional_to_weights_where_nothing_is_in_the_way():
    assert allocate(np.array([1.0, 2.0, 5.0]), [1000] * 3, 800) == [100, 200, 500]


def test_too_few_columns_get_one_clear_line():
    with pytest.raises(InputError, match="dimension must be at least 16 for this model's 2 groups"):
        allocate(np.ones(2), [100, 100], 15)


@pytest.mark.parametrize(
    ("share", "m", "form"),
    [
        ((40,), 40, Exact),
        ((40,), 13, CountSketch),
        ((6, 4), 24, Exact),
        ((6, 4), 10, CountSketch),
        ((20, 30), 10, SignProduct),
    ],
)
def test_the_form_of_the_layer_chooses_the_map(share, m, form):
    share = flat(*share) if len(share) == 1 else rank_one(*share)
    [part], [projection] = draw(jax.random.key(0), [share], [m], FLOAT64)
    assert isinstance(projection, form)
    assert project([projection], [share]).shape == (3, 1, part.dimension)


def test_a_layer_with_all_its_columns_is_exact():
    for share, m in ((flat(17), 17), (rank_one(3, 5), 15)):
        kernels, variances = draws(share, m, 1)
        rows = gradients(share)
        np.testing.assert_allclose(kernels[0], rows @ rows.T, rtol=1e-13)
        assert not variances.any()


@pytest.mark.parametrize("m", [10, 20, 39])
def test_a_count_sketch_s_variance_is_the_closed_form(m):
    """Padding, the permutation's correction to 1 / m and the fourth-order term included."""
    share, count = flat(40), 3000
    kernels, stated = draws(share, m, count)
    rows = gradients(share)
    exact, squares = rows @ rows.T, (rows**2).sum(1)
    fourth = (rows**2) @ (rows**2).T
    truth = Part("count", 40, m).collision * (np.outer(squares, squares) + exact**2 - 2 * fourth)
    spread = kernels.std(0)
    assert (np.abs(kernels.mean(0) - exact) <= 4.5 * spread / np.sqrt(count)).all()
    np.testing.assert_allclose(spread**2, truth, rtol=0.2)
    # What is stated leaves the last term out: from above, and by no more than that.
    c = Part("count", 40, m).collision
    np.testing.assert_allclose(stated.mean(0), truth + 2 * c / (1 + c) * fourth, rtol=0.1)


def test_a_sign_product_s_stated_variance_is_unbiased():
    share, m, count = rank_one(20, 30), 16, 3000
    kernels, stated = draws(share, m, count)
    rows = gradients(share)
    spread = kernels.std(0)
    assert (np.abs(kernels.mean(0) - rows @ rows.T) <= 4.5 * spread / np.sqrt(count)).all()
    np.testing.assert_allclose(stated.mean(0), spread**2, rtol=0.2)
    a, b = np.asarray(share.inputs), np.asarray(share.cotangents)[:, 0]

    def factor(v):
        squares = (v**2).sum(1)
        return np.outer(squares, squares) + 2 * (v @ v.T) ** 2

    assert (spread**2 <= 1.15 * (factor(a) * factor(b) - (rows @ rows.T) ** 2) / m).all()


def test_the_same_key_draws_the_same_projection_and_another_key_another():
    first, again, other = (
        draw(jax.random.key(seed), [flat(40)], [10], FLOAT64)[1][0] for seed in (5, 5, 6)
    )
    assert isinstance(first, CountSketch)
    np.testing.assert_array_equal(first.order, again.order)
    np.testing.assert_array_equal(first.signs, again.signs)
    assert (first.order != other.order).any()


def test_layers_of_one_key_have_projections_of_their_own():
    _, (first, second) = draw(jax.random.key(0), [flat(40), flat(40)], [10, 10], FLOAT64)
    assert (first.order != second.order).any()
