import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.datasets import Split, encode_labels, load, normalize
from kdtheory.errors import InputError


def images_of(rng, n):
    return rng.integers(0, 256, (n, 4, 5, 3), dtype=np.uint8)


def test_normalized_training_images_have_zero_mean_and_unit_deviation():
    dataset = load("synthetic", train_size=200)
    images = normalize(dataset.train.images, dataset.mean, dataset.std)
    np.testing.assert_allclose(images.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(images.std(axis=(0, 1, 2)), 1, atol=1e-5)


def test_normalize_equals_its_formula_compiled_or_not():
    rng = np.random.default_rng(0)
    images, mean, std = images_of(rng, 3), rng.random(3), rng.random(3) + 0.1
    expected = (images / 255 - mean) / std
    mean, std = mean.astype(np.float32), std.astype(np.float32)
    np.testing.assert_allclose(normalize(images, mean, std), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        jax.jit(normalize)(images, mean, std), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float64])
def test_normalize_returns_the_dtype_asked_for(dtype):
    with jax.enable_x64(True):
        images = images_of(np.random.default_rng(0), 2)
        half = np.full(3, 0.5, np.float32)
        assert normalize(images, half, half, dtype).dtype == dtype


def test_normalize_in_float64_is_accurate_to_float64():
    with jax.enable_x64(True):
        images = np.full((1, 1, 1, 1), 1, np.uint8)
        zero, one = np.zeros(1, np.float32), np.ones(1, np.float32)
        result = normalize(images, zero, one, jnp.float64)
        assert float(result[0, 0, 0, 0]) == 1 / 255


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_one_hot_rows_hold_a_single_one_at_the_label(labels):
    encoded = np.asarray(encode_labels(np.array(labels, np.int32), 5))
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded.sum(axis=1), 1)
    np.testing.assert_array_equal(encoded.argmax(axis=1), labels)


def test_binary_labels_are_plus_one_for_class_one():
    encoded = encode_labels(np.array([0, 1, 1], np.int32), 1)
    np.testing.assert_array_equal(encoded, [[-1], [1], [1]])
    assert encoded.dtype == jnp.float32


def test_encode_labels_compiles():
    compiled = jax.jit(encode_labels, static_argnums=1)
    np.testing.assert_array_equal(compiled(np.array([1, 0], np.int32), 1), [[1], [-1]])


@pytest.mark.parametrize(("label", "num_outputs"), [(2, 1), (3, 3), (-1, 3)])
def test_labels_without_an_output_are_refused(label, num_outputs):
    with pytest.raises(InputError, match="class indices must be 0 to"):
        encode_labels(np.array([0, label], np.int32), num_outputs)


def test_no_output_is_refused():
    with pytest.raises(InputError, match="num_outputs must be an integer of at least 1, got 0"):
        encode_labels(np.array([0], np.int32), 0)


def test_splits_need_one_label_an_image():
    with pytest.raises(InputError, match="one label for each image"):
        Split(np.zeros((2, 4, 4, 1), np.uint8), np.zeros(3, np.int32), np.zeros(3, np.int32))


def test_arrays_of_a_split_cannot_be_written_but_the_callers_can():
    labels = np.zeros(2, np.int32)
    split = Split(np.zeros((2, 4, 4, 1), np.uint8), labels, labels)
    with pytest.raises(ValueError, match="read-only"):
        split.labels[0] = 1
    labels[0] = 1
    assert split.labels[0] == 1


def test_outputs_follow_the_classes():
    full, binary = load("digits"), load("digits", task="odd_even")
    assert (full.num_classes, full.num_outputs, full.binary) == (10, 10, False)
    assert (binary.num_classes, binary.num_outputs, binary.binary) == (2, 1, True)
    assert full.image_shape == (8, 8, 1)
