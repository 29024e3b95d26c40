"""The view of a training step: order of the operations, mixup, and its losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.datasets import AugmentConfig, augment, mix_losses, mixup, normalize, train_view
from kdtheory.datasets.augment import NO_AUGMENTATION
from kdtheory.errors import InputError
from kdtheory.targets import Examples, cross_entropy, offline, squared_error

MEAN, STD = np.array([0.3, 0.6], np.float32), np.array([0.2, 0.4], np.float32)

# Few of them, because each is a compilation.
PLAIN = AugmentConfig(crop_padding=2)
CUTOUT = AugmentConfig(crop_padding=2, cutout=3)
MIXUP = AugmentConfig(crop_padding=2, mixup=0.4)

compiled_view = jax.jit(train_view, static_argnames=("config", "dtype"))


def batch(seed=0):
    return np.random.default_rng(seed).integers(1, 256, (8, 6, 6, 2), dtype=np.uint8)


def view_of(key, config, images=None, **settings):
    images = batch() if images is None else images
    return compiled_view(jax.random.key(key), images, mean=MEAN, std=STD, config=config, **settings)


def test_without_cutout_and_mixup_it_is_augment_then_normalize():
    view = view_of(3, PLAIN)
    expected = normalize(augment(jax.random.key(3), batch(), config=PLAIN), MEAN, STD)
    np.testing.assert_allclose(view.images, expected, rtol=1e-6, atol=1e-6)
    assert view.partner is None
    assert view.weight is None


def test_no_augmentation_is_normalize():
    view = view_of(0, NO_AUGMENTATION)
    np.testing.assert_allclose(view.images, normalize(batch(), MEAN, STD), rtol=1e-6, atol=1e-6)


def test_cutout_leaves_the_mean_and_changes_nothing_else():
    plain, cut = (np.asarray(view_of(1, config).images) for config in (PLAIN, CUTOUT))
    hole = (cut == 0).all(axis=-1)
    assert hole.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(cut[~hole], plain[~hole])


def test_black_borders_stay_black_and_not_mean():
    values = np.unique(view_of(0, PLAIN, np.full_like(batch(), 255)).images[..., 0])
    np.testing.assert_allclose(values, [-0.3 / 0.2, 0.7 / 0.2], rtol=1e-5)


@given(st.integers(0, 1000))
def test_mixup_is_the_convex_combination_that_it_reports(seed):
    """Of the very crops and flips that the same key gives without mixup."""
    plain, view = np.asarray(view_of(seed, PLAIN).images), view_of(seed, MIXUP)
    assert 0 <= float(view.weight) <= 1
    assert sorted(np.asarray(view.partner)) == list(range(8))
    weight = np.asarray(view.weight)
    expected = weight * plain + (1 - weight) * plain[np.asarray(view.partner)]
    np.testing.assert_allclose(view.images, expected, rtol=1e-5, atol=1e-5)


def test_the_weights_have_the_moments_of_beta():
    weights = np.array([view_of(key, MIXUP).weight for key in range(1000)])
    # Beta(0.4, 0.4); the uniform distribution's deviation would be 0.289.
    assert abs(weights.mean() - 0.5) < 5 * 0.373 / np.sqrt(1000)
    assert abs(weights.std() - 0.373) < 0.03


def test_the_result_has_the_wanted_dtype():
    exact, rounded = view_of(0, CUTOUT), view_of(0, CUTOUT, dtype=jnp.bfloat16)
    assert exact.images.dtype == jnp.float32
    assert rounded.images.dtype == jnp.bfloat16
    np.testing.assert_array_equal(rounded.images, exact.images.astype(jnp.bfloat16))


def test_the_key_decides():
    first, again, other = (view_of(key, MIXUP) for key in (0, 0, 1))
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf")])
def test_a_bad_alpha_is_refused(alpha):
    with pytest.raises(InputError, match="alpha of mixup must be above 0"):
        mixup(jax.random.key(0), jnp.zeros((2, 1, 1, 1)), alpha=alpha)


def mixed_examples():
    view = view_of(0, MIXUP)
    labels = np.random.default_rng(1).integers(0, 3, 8).astype(np.int32)
    own = Examples(view.images, jnp.asarray(labels), jnp.arange(8))
    partner = own._replace(labels=own.labels[view.partner], indices=view.partner)
    return view, own, partner


def test_mixed_cross_entropy_is_that_of_mixed_labels():
    view, own, partner = mixed_examples()
    logits = jax.random.normal(jax.random.key(1), (8, 3))
    mixed = mix_losses(
        view, cross_entropy(logits, own.labels), cross_entropy(logits, partner.labels)
    )
    one_hot = view.weight * jax.nn.one_hot(own.labels, 3) + (1 - view.weight) * jax.nn.one_hot(
        partner.labels, 3
    )
    expected = -(one_hot * jax.nn.log_softmax(logits)).sum(axis=-1)
    np.testing.assert_allclose(mixed, expected, rtol=1e-5)


def test_mixed_squared_error_has_the_gradient_of_mixed_labels():
    view, own, partner = mixed_examples()
    logits = jax.random.normal(jax.random.key(1), (8, 3))
    first, second = jax.nn.one_hot(own.labels, 3), jax.nn.one_hot(partner.labels, 3)

    def by_losses(z):
        return mix_losses(view, squared_error(z, first), squared_error(z, second)).sum()

    def by_targets(z):
        return squared_error(z, view.weight * first + (1 - view.weight) * second).sum()

    np.testing.assert_allclose(
        jax.grad(by_losses)(logits), jax.grad(by_targets)(logits), rtol=1e-5, atol=1e-6
    )


def test_a_teacher_is_asked_once_and_about_the_mixed_images():
    """alpha = 1: the loss is the teacher's on the mixed images, whatever the labels."""
    view, own, partner = mixed_examples()
    logits = jax.random.normal(jax.random.key(1), (8, 3))
    teacher = offline(
        lambda variables, images: images.mean(axis=(1, 2)) @ variables["params"],
        {"params": jnp.eye(2, 3)},
        temperature=2.0,
    )

    def single(images):
        return teacher.loss(logits, 1, own._replace(images=images))

    def mixed(images):
        other = teacher.loss(logits, 1, partner._replace(images=images))
        return mix_losses(view, single(images), other)

    np.testing.assert_allclose(mixed(view.images), single(view.images), rtol=1e-5)
    # One matrix product, the teacher's, in the compiled program of either.
    for function in (single, mixed):
        program = jax.jit(function).lower(view.images).compile().as_text()
        assert program.count(" dot(") == 1
