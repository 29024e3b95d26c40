import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.datasets import load
from kdtheory.datasets.fingerprint import fingerprint
from kdtheory.datasets.pixel_statistics import pixel_statistics
from kdtheory.errors import InputError


def rows(split):
    return {image.tobytes() for image in split.images}


def test_digits_are_scikit_learns_images_scaled_to_255():
    from sklearn.datasets import load_digits

    dataset = load("digits", train_size=1297)
    assert dataset.class_names == tuple("0123456789")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (1297, 0, 500)
    stored = {
        image.tobytes() for image in np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    }
    ours = rows(dataset.train) | rows(dataset.test)
    assert ours == stored
    assert dataset.train.images.max() == 255


def test_digits_test_split_is_stratified_and_the_same_for_every_seed_and_task():
    first, second = load("digits", seed=0), load("digits", seed=1, task="even_odd", train_size=9)
    np.testing.assert_array_equal(first.test.images, second.test.images)
    counts = np.bincount(first.test.labels)
    assert counts.min() >= 47
    assert counts.max() <= 53


def test_the_same_arguments_give_the_same_arrays_on_every_machine():
    # The value was taken once from this code; any change of order, seed or scaling changes it.
    dataset = load("digits", task="even_odd", train_size=512)
    assert dataset.provenance["sha256"].startswith("05febc708a5c6eb5")


@given(st.integers(1, 1100), st.integers(0, 3))
def test_validation_is_disjoint_from_training(train_size, seed):
    dataset = load("synthetic", train_size=min(train_size, 1023), seed=seed)
    assert not rows(dataset.train) & rows(dataset.validation)
    assert len(rows(dataset.train)) == len(dataset.train)


def test_default_validation_is_a_tenth_or_what_is_left():
    assert [
        (len(d.train), len(d.validation))
        for d in (
            load("synthetic"),
            load("synthetic", train_size=500),
            load("synthetic", train_size=1000),
            load("synthetic", train_size=1024),
            load("synthetic", validation_size=300),
            load("synthetic", validation_size=0),
            load("synthetic", train_size=24, validation_size=1000),
        )
    ] == [(922, 102), (500, 102), (1000, 24), (1024, 0), (724, 300), (1024, 0), (24, 1000)]


def test_validation_does_not_depend_on_the_training_size():
    small, large = load("synthetic", train_size=50), load("synthetic", train_size=900)
    np.testing.assert_array_equal(small.validation.images, large.validation.images)


def test_smaller_subsets_begin_larger_ones_and_do_not_depend_on_the_task():
    small = load("synthetic", train_size=60, test_size=30)
    large = load("synthetic", task="first_half", train_size=300, test_size=200)
    np.testing.assert_array_equal(small.train.images, large.train.images[:60])
    np.testing.assert_array_equal(small.test.images, large.test.images[:30])
    assert np.bincount(small.train.labels).tolist() == [6] * 10
    assert np.bincount(small.test.labels).tolist() == [3] * 10


def test_the_seed_chooses_the_training_examples():
    first, again, other = (load("synthetic", train_size=50, seed=seed) for seed in (0, 0, 1))
    assert first.provenance == again.provenance
    assert rows(first.train) != rows(other.train)


def test_tasks_map_the_labels():
    full, odd = load("synthetic", train_size=80), load("synthetic", train_size=80, task="odd_even")
    np.testing.assert_array_equal(odd.train.labels, full.train.labels % 2)
    np.testing.assert_array_equal(odd.test.labels, full.test.labels % 2)


def test_noise_is_in_the_training_labels_alone():
    clean = load("synthetic", train_size=100, task="odd_even")
    noisy = load("synthetic", train_size=100, task="odd_even", label_noise=0.2)
    np.testing.assert_array_equal(noisy.train.clean_labels, clean.train.labels)
    assert (noisy.train.labels != clean.train.labels).sum() == 20
    for split in ("validation", "test"):
        np.testing.assert_array_equal(getattr(noisy, split).labels, getattr(clean, split).labels)
    assert noisy.provenance["noisy_labels"] == 20
    np.testing.assert_array_equal(noisy.train.flipped, noisy.train.labels != clean.train.labels)
    assert not noisy.test.flipped.any()


def test_pair_noise_is_after_the_tasks_mapping():
    noisy = load("synthetic", train_size=60, task="classes:8,0,4", label_noise=0.5,
                 noise_kind="pair").train  # fmt: skip
    assert noisy.flipped.sum() == 30
    np.testing.assert_array_equal((noisy.labels - noisy.clean_labels) % 3, noisy.flipped)


def test_a_subset_task_has_the_examples_of_its_classes_alone():
    full, some = load("synthetic"), load("synthetic", task="classes:7,2-3")
    assert some.class_names == ("pattern 7", "pattern 2", "pattern 3")
    assert (some.num_classes, some.num_outputs) == (3, 3)
    for name in ("train", "validation", "test"):
        assert rows(getattr(some, name)) <= rows(full.train) | rows(full.validation) | rows(
            full.test
        )
    wanted = full.test.images[np.isin(full.test.labels, (2, 3, 7))]
    assert rows(some.test) == {image.tobytes() for image in wanted}
    label_of = {
        image.tobytes(): int(label)
        for image, label in zip(full.test.images, full.test.labels, strict=True)
    }
    assert [label_of[image.tobytes()] for image in some.test.images] == [
        (7, 2, 3)[label] for label in some.test.labels
    ]


def test_two_classes_make_a_binary_task_and_subsets_of_it_are_nested():
    dataset = load("synthetic", task="classes:5,1", train_size=80)
    assert dataset.num_outputs == 1
    assert dataset.class_names == ("pattern 5", "pattern 1")
    assert np.bincount(dataset.train.labels).tolist() == [40, 40]
    small = load("synthetic", task="classes:5,1", train_size=20)
    np.testing.assert_array_equal(small.train.images, dataset.train.images[:20])


def test_sizes_of_a_subset_task_are_those_of_its_classes():
    with pytest.raises(InputError, match=r"train_size must be 1 to 20[56] "):
        load("synthetic", task="classes:5,1", train_size=300)


def test_provenance_is_json_and_tells_where_everything_came_from():
    dataset = load("digits", task="even_odd", train_size=100, label_noise=0.1, seed=3)
    provenance = json.loads(json.dumps(dataset.provenance))
    assert provenance == dataset.provenance
    assert provenance["sizes"] == {"train": 100, "validation": 129, "test": 500}
    assert provenance["seed"] == 3
    assert provenance["label_noise"] == 0.1
    assert "scikit-learn" in provenance["source"]
    assert provenance["version"]


def test_the_fingerprint_is_sha256_of_shapes_and_bytes():
    train = load("synthetic", train_size=5).train
    digest = hashlib.sha256()
    for array in (train.images, train.labels, train.clean_labels):
        digest.update(str(array.shape).encode() + array.tobytes())
    assert fingerprint(train) == digest.hexdigest()


def test_pixel_statistics_are_numpys():
    images = np.random.default_rng(0).integers(0, 256, (1500, 3, 5, 2), dtype=np.uint8)
    mean, std = pixel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 1, 2)), rtol=1e-6)


def test_a_constant_channel_has_deviation_one():
    mean, std = pixel_statistics(np.full((2, 3, 3, 1), 51, np.uint8))
    np.testing.assert_allclose(mean, [0.2])
    np.testing.assert_array_equal(std, [1])


def test_progress_ends_at_the_number_of_images():
    calls = []
    load("synthetic", train_size=10, on_progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (10 + 102 + 512, 10 + 102 + 512)
    assert calls == sorted(calls)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"train_size": 1298},
            r"train_size must be 1 to 1297 \(the training .* 'digits'\), got 1298",
        ),
        ({"train_size": 0}, "train_size must be 1 to 1297"),
        ({"train_size": 1200, "validation_size": 98}, "validation_size must be 0 to 97"),
        ({"validation_size": 1297}, "validation_size must be 0 to 1296"),
        ({"test_size": 501}, "test_size must be 1 to 500"),
        ({"label_noise": 1.1}, "label_noise must be between 0 and 1, got 1.1"),
        ({"label_noise": float("nan")}, "label_noise must be between 0 and 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"task": "halves"}, "unknown task 'halves'; known: animals, coarse_label.*or classes:A,B"),
        ({"noise_kind": "odd"}, "unknown noise_kind 'odd'; known: pair, symmetric"),
        ({"test_fraction": 0.2}, "has a split to test on"),
        ({"test_fraction": 1.5}, "test_fraction must lie between 0 and 1, got 1.5"),
        ({"image_size": (4, 4)}, "image_size is for TFDS sets"),
    ],
)
def test_bad_arguments_get_one_clear_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        load("digits", **arguments)
    assert "\n" not in str(caught.value)
