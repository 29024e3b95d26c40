"""Arrays as users have them: the right numbers where that is certain, one line where it is not."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.datasets import (
    ImageDataset,
    Source,
    SourceSplit,
    Split,
    encode_labels,
    load,
    load_streamed,
    normalize,
)
from kdtheory.datasets.image_dataset import check_class_indices
from kdtheory.datasets.images import checked_images
from kdtheory.datasets.labels import class_indices
from kdtheory.datasets.sources import SOURCES
from kdtheory.errors import InputError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
INDICES = np.arange(40) % 4
NAMES = ("ant", "bee", "cow", "dog")


def one_line(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def loaded(monkeypatch):
    """Load a registered source of these arrays, `load` or `load_streamed`."""

    def load_arrays(images, labels=INDICES, names=NAMES, test=None, loader=load, **settings):
        def source():
            train = SourceSplit.from_arrays("train", images, labels)
            other = train if test is None else SourceSplit.from_arrays("test", *test)
            return Source(name="own", class_names=names, train=train, test=other, validation=None,
                          provenance={"source": "own", "version": "1"})  # fmt: skip

        monkeypatch.setitem(SOURCES, "own", source)
        return loader("own", validation_size=0, **settings)

    return load_arrays


def networks_input(dataset):
    return np.asarray(normalize(dataset.train.images, dataset.mean, dataset.std))


UNITS = {
    "[0, 1]": lambda x: x.astype(np.float32) / 255,
    "[0, 255] float64": lambda x: x.astype(np.float64),
    "[-1, 1]": lambda x: x.astype(np.float32) / 127.5 - 1,
    "standardised": lambda x: ((x - x.mean()) / x.std()).astype(np.float32),
    "int64": lambda x: x.astype(np.int64),
    "jax": jnp.asarray,
    "list": lambda x: x.tolist(),
    "16 bits": lambda x: x.astype(np.float32) * 257,
}


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("loader", [load, load_streamed])
def test_a_network_is_given_the_same_whatever_the_units(loaded, units, loader):
    expected = loaded(PIXELS)
    dataset = loaded(UNITS[units](PIXELS), loader=loader)
    if loader is load_streamed:
        images = dataset.train.read_images(np.arange(40))
    else:
        images = dataset.train.images
    assert images.dtype in (np.uint8, np.float32)
    given = np.asarray(normalize(images, dataset.mean, dataset.std))
    np.testing.assert_allclose(given, networks_input(expected), atol=3e-6)
    np.testing.assert_array_equal(dataset.train.labels, expected.train.labels)


def test_images_in_0_1_train_as_their_pixels_do(loaded):
    from kdtheory.training import fit

    digits = load("digits")
    images, labels = digits.train.images.astype(np.float32) / 255, digits.train.labels
    own = loaded(images, labels, names=digits.class_names, test=(images, labels))
    losses: list[float] = []
    fit("mlp32x1", own, epochs=10, batch_size=600, key=jax.random.key(0),
        on_epoch=lambda record: losses.append(record.loss))  # fmt: skip
    assert losses[-1] < 0.8 * losses[0]  # chance is ln 10 throughout


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PIXELS[..., 0], r"must have the shape (n, h, w, c), got (40, 6, 5); .*images[..., None]"),
        (np.zeros((40, 30), np.uint8), "must have the shape (n, h, w, c), got (40, 30)"),
        (np.zeros((40, 3, 32, 32), np.uint8), "channels come first; move them: np.moveaxis"),
        (PIXELS.astype(np.uint16) * 257, "integers must have values 0 to 255, got 0 to 65535"),
        (PIXELS.astype(np.int32) - 128, "got -128 to 127 (int32)"),
        (np.where(PIXELS == 7, np.nan, PIXELS), "pixels are NaN or infinite"),
        (np.full((40, 2, 2, 1), np.inf), "160 pixels are NaN or infinite"),
        (PIXELS.astype(complex), "floating, got an array of complex128"),
        (PIXELS.astype(str), "must be uint8 (0 to 255) or floating"),
        ([np.zeros((4, 4, 3)), np.zeros((5, 4, 3))], "one array (n, h, w, c) of images of one si"),
        (PIXELS[:30], "'train' has 30 images and 40 labels"),
        (np.zeros_like(PIXELS), "pixels of the training images are 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_images(loaded, images, message):
    line = one_line(loaded, images)
    for part in message.split(".*"):
        assert part in line


def test_images_read_from_files_are_checked_as_they_are_read(monkeypatch):
    def source(read):
        split = SourceSplit("files", INDICES, read)
        return lambda: Source(name="own", class_names=NAMES, train=split, test=split,
                              validation=None, provenance={"source": "own"})  # fmt: skip

    def grey(rows, advance):
        return PIXELS[rows, :, :, 0]

    def too_few(rows, advance):
        return PIXELS[rows][1:]

    for read, message in ((grey, "images[..., None]"), (too_few, "one label for each image")):
        monkeypatch.setitem(SOURCES, "own", source(read))
        for loader in (load, load_streamed):
            assert message in one_line(loader, "own")


def test_splits_in_other_units_are_seen(loaded):
    one = PIXELS.astype(np.float32) / 255
    line = one_line(lambda: loaded(one, test=(PIXELS, INDICES)))
    assert "the test images must be like the training images, float32" in line
    for loader in (load, load_streamed):
        line = one_line(lambda: loaded(one, test=(PIXELS * 1.0, INDICES), loader=loader))  # noqa: B023
        assert "the test images are in other units than the training split" in line
    assert len(loaded(one, test=(one[:1] * 0, INDICES[:1])).test) == 1  # one black image is one


CERTAIN = {
    "int64": INDICES,
    "uint8": INDICES.astype(np.uint8),
    "a column": INDICES[:, None],
    "whole floating numbers": INDICES.astype(np.float64),
    "one-hot": np.eye(4)[INDICES],
    "one-hot bool": np.eye(4, dtype=bool)[INDICES],
    "names": np.array(NAMES)[INDICES],
    "names in a list": [NAMES[index] for index in INDICES],
    "names as objects": np.array(NAMES, object)[INDICES],
    "jax": jnp.asarray(INDICES),
}


@pytest.mark.parametrize("kind", CERTAIN)
def test_labels_that_certainly_mean_classes(kind, loaded):
    np.testing.assert_array_equal(class_indices(CERTAIN[kind], NAMES), INDICES)
    expected = loaded(PIXELS).train.labels
    np.testing.assert_array_equal(loaded(PIXELS, CERTAIN[kind]).train.labels, expected)


def test_minus_one_and_plus_one_are_the_two_classes(loaded):
    signs = np.where(INDICES % 2, 1, -1)
    for labels in (signs, signs.astype(np.float32), signs > 0):
        own = loaded(PIXELS, labels, names=("even", "odd"))
        assert np.bincount(own.train.labels).tolist() == [20, 20]
        encoded = encode_labels(own.train.labels, own.num_outputs)
        assert set(np.asarray(encoded).ravel().tolist()) == {-1.0, 1.0}
    np.testing.assert_array_equal(class_indices(signs, ("even", "odd")), INDICES % 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (INDICES + 1, "must be 0 to 3 for 4 classes, got 1 to 4; these count from 1: subtract 1"),
        (INDICES - 1, "must be 0 to 3 for 4 classes, got -1 to 2"),
        (INDICES + 0.5, "must be whole numbers or the names of classes, got float64 such as 0.5"),
        (np.where(INDICES, INDICES, np.nan), "must be whole numbers"),
        (np.full((40, 4), 0.25), "must be one-hot rows; of other rows"),
        (np.eye(5)[INDICES], "must have the shape (n,), or be one-hot rows (n, 4)"),
        (np.array(["ant", "bees"] * 20), "'bees'; did you mean 'bee'"),
        (INDICES[:30], "'train' has 40 images and 30 labels"),
        (np.append(INDICES, 0), "'train' has 40 images and 41 labels"),
        (3, "the labels of 'train' must be one label an example, got 3"),
        ([[0], [1, 2]] * 20, "inhomogeneous"),
    ],
)  # fmt: skip
def test_labels_that_could_mean_something_else(loaded, labels, message):
    assert message in one_line(loaded, PIXELS, labels)


def test_splits_and_data_sets_made_by_hand():
    split = Split(PIXELS / 255, INDICES, INDICES)
    assert (split.images.dtype, split.labels.dtype) == (np.float32, np.int32)
    assert "class 0 is the label -1" in one_line(Split, PIXELS, INDICES * 2 - 1, INDICES)
    assert "labels must have the shape (n,)" in one_line(Split, PIXELS, np.eye(4)[INDICES], INDICES)

    def dataset(classes, std=0.3 / 255):
        mean = np.full(3, std, np.float32)
        return ImageDataset("own", "full", split, split, split, classes, mean, mean, {})

    assert dataset(NAMES).num_outputs == 4
    assert "must be 0 to 2 for 3 classes, got 0 to 3" in one_line(dataset, NAMES[:3])
    assert "train images are in other units" in one_line(dataset, NAMES, 0.3)


def test_class_indices_are_no_signs_no_one_hot_rows_and_no_floating_numbers():
    assert "class 0 stands for -1" in one_line(encode_labels, np.array([-1, 1]), 1)
    check = check_class_indices  # that encode_labels begins with
    assert "shape (n,), got float32" in one_line(check, np.ones(3, np.float32), 1)
    assert "of shape (3, 3)" in one_line(check, np.eye(3, dtype=np.int32), 3)


def test_what_numpy_has_no_name_for_is_floating_all_the_same():
    half = jnp.full((2, 2, 2, 1), 0.5, jnp.bfloat16)
    assert checked_images(half).dtype == np.float32


def test_normalisation_is_of_these_images():
    mean = np.full(3, 0.5, np.float32)
    compiled = jax.jit(lambda images: normalize(images, mean, mean))
    assert "got uint16" in one_line(compiled, PIXELS.astype(np.uint16))
    assert "got int32" in one_line(compiled, PIXELS.astype(np.int32))
    for std in (0.0, -1.0, np.nan):
        spread = np.array([0.5, std, 0.5], np.float32)
        assert "std must be above 0 in every channel" in one_line(normalize, PIXELS, mean, spread)


def test_sizes_and_seeds_are_whole_numbers():
    # In a process of its own, where no test's hook checks the types of arguments before.
    code = """
from kdtheory.datasets import load
from kdtheory.errors import InputError
for choices in ({"train_size": 10.5}, {"test_size": "10"}, {"train_size": 1.0}, {"seed": 0.5}):
    try:
        load("digits", **choices)
    except InputError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "train_size must be a whole number, got 10.5",
        "test_size must be a whole number, got '10'",
        "train_size must be a whole number, got 1.0",
        "seed must be a whole number, got 0.5",
    ]
