import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.datasets import AugmentConfig, augment, default_augmentation
from kdtheory.datasets.augment import NO_AUGMENTATION, random_crop, random_cutout, random_flip
from kdtheory.errors import InputError

compiled_augment = jax.jit(augment, static_argnames="config")


def batch(n=16, dtype=np.float32):
    return np.random.default_rng(0).integers(1, 255, (n, 6, 6, 2)).astype(dtype)


def test_no_augmentation_returns_the_images():
    images = batch()
    np.testing.assert_array_equal(
        augment(jax.random.key(0), images, config=NO_AUGMENTATION), images
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_shape_and_dtype_stay(dtype):
    images = batch(dtype=dtype)
    result = compiled_augment(jax.random.key(0), images, config=AugmentConfig(crop_padding=2))
    assert result.shape == images.shape
    assert result.dtype == images.dtype


@pytest.mark.parametrize(("mode", "numpy_mode"), [("zero", "constant"), ("reflect", "reflect")])
def test_every_crop_is_a_window_of_the_padded_image(mode, numpy_mode):
    images = batch(32)
    crops = random_crop(jax.random.key(1), images, padding=2, padding_mode=mode)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode=numpy_mode)
    corners = set()
    for image, crop in zip(padded, np.asarray(crops), strict=True):
        places = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if np.array_equal(image[i : i + 6, j : j + 6], crop)
        ]
        assert len(places) == 1
        corners.update(places)
    assert len(corners) > 10


def test_all_crop_places_are_equally_likely():
    # An image with a single bright pixel in the middle shows its own shift.
    n = 9 * 2000
    images = jnp.zeros((n, 3, 3, 1)).at[:, 1, 1, 0].set(1.0)
    crops = random_crop(jax.random.key(0), images, padding=1)
    counts = np.asarray(crops.sum(axis=(0, 3))).ravel()
    np.testing.assert_allclose(counts, 2000, atol=5 * np.sqrt(n * 8 / 81))


def test_flips_mirror_about_half_of_the_images():
    images = batch(400)
    flipped = np.asarray(random_flip(jax.random.key(0), images))
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    same = (flipped == images).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert abs(mirrored.sum() - 200) < 50


def test_the_key_decides():
    images = batch()
    config = AugmentConfig(crop_padding=2)
    first, again, other = (
        compiled_augment(jax.random.key(seed), images, config=config) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="crop_padding must be an integer of at least 0"):
        AugmentConfig(crop_padding=-1)
    with pytest.raises(InputError, match="one of zero, reflect, got 'wrap'"):
        AugmentConfig(padding_mode="wrap")
    with pytest.raises(InputError, match="cutout must be an integer of at least 0"):
        AugmentConfig(cutout=-1)
    for alpha in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="mixup must be at least 0 and finite"):
            AugmentConfig(mixup=alpha)


def test_mixup_is_not_silently_left_out():
    with pytest.raises(InputError, match="mixup is done by train_view"):
        augment(jax.random.key(0), batch(), config=AugmentConfig(mixup=0.2))


@pytest.mark.parametrize(
    ("size", "dtype"), [(1, np.float32), (2, np.uint8), (3, np.float32), (20, np.float32)]
)
def test_a_cutout_is_a_square_clipped_at_the_border(size, dtype):
    images = batch(64, dtype)  # no zeros in it
    result = np.asarray(random_cutout(jax.random.key(2), images, size=size))
    assert result.dtype == dtype
    hole = (result == 0).all(axis=-1)
    np.testing.assert_array_equal(np.where(hole[..., None], 0, images), result)
    for mask in hole:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        # A product of two intervals, each of the full size or touching the border.
        np.testing.assert_array_equal(mask, np.outer(mask.any(axis=1), mask.any(axis=0)))
        for side in (rows, columns):
            assert side[-1] - side[0] + 1 == len(side)
            assert len(side) == size or side[0] == 0 or side[-1] == 5
            assert len(side) <= size


def test_every_pixel_is_as_likely_to_be_the_centre_of_a_cutout():
    n = 9 * 2000
    holes = 1 - np.asarray(random_cutout(jax.random.key(0), jnp.ones((n, 3, 3, 1)), size=1))
    np.testing.assert_allclose(holes.sum(axis=(0, 3)), 2000, atol=5 * np.sqrt(n * 8 / 81))


def test_written_characters_are_not_mirrored():
    assert default_augmentation("digits", (8, 8, 1)) == NO_AUGMENTATION
    assert default_augmentation("mnist:3.0.1", (28, 28, 1)) == AugmentConfig(
        crop_padding=3, flip=False
    )
    assert default_augmentation("cifar100", (32, 32, 3)) == AugmentConfig()
