from typing import get_args

import numpy as np
import pytest

from kdtheory.datasets import load, teacher_split
from kdtheory.datasets.corrupted import TeacherData
from kdtheory.errors import InputError

FRACTIONS = {"symmetric_noise": 0.5, "pair_noise": 0.5}


@pytest.fixture(scope="module")
def dataset():
    return load("synthetic", train_size=200, label_noise=0.1)


def made(dataset, kind, seed=0):
    return teacher_split(dataset, kind, fraction=FRACTIONS.get(kind), seed=seed)


@pytest.mark.parametrize("kind", get_args(TeacherData))
def test_only_labels_are_corrupted_and_only_by_the_seed(dataset, kind):
    split, again, other = (made(dataset, kind, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(split.labels, again.labels)
    assert split.labels.dtype == np.int32
    assert (split.labels >= 0).all()
    assert (split.labels < 10).all()
    if kind == "validation":
        assert split is dataset.validation
    else:
        np.testing.assert_array_equal(split.images, dataset.train.images)
        np.testing.assert_array_equal(split.clean_labels, dataset.train.clean_labels)
        assert np.array_equal(split.labels, other.labels) == (kind == "train")


def test_train_is_the_students_own_split(dataset):
    assert made(dataset, "train") is dataset.train


def test_noise_comes_on_top_of_the_students(dataset):
    for kind in FRACTIONS:
        changed = made(dataset, kind).labels != dataset.train.labels
        assert changed.sum() == 100
    shifts = (made(dataset, "pair_noise").labels - dataset.train.labels) % 10
    assert set(shifts.tolist()) == {0, 1}


def test_random_labels_agree_with_the_true_ones_by_chance(dataset):
    split = made(dataset, "random_labels")
    assert abs((split.labels == split.clean_labels).mean() - 0.1) < 5 * np.sqrt(0.09 / 200)


def test_permuted_classes_are_consistent_and_always_wrong(dataset):
    split = made(dataset, "permuted_classes")
    pairs = set(zip(dataset.train.labels.tolist(), split.labels.tolist(), strict=True))
    assert len(pairs) == 10
    assert len({new for _, new in pairs}) == 10
    assert all(old != new for old, new in pairs)


def test_a_binary_task_swaps_its_two_classes():
    dataset = load("digits", task="odd_even", train_size=50)
    split = teacher_split(dataset, "permuted_classes")
    np.testing.assert_array_equal(split.labels, 1 - dataset.train.labels)


def test_bad_arguments_get_one_line(dataset):
    with pytest.raises(
        InputError,
        match=r"unknown teacher data 'noise'; did you mean 'pair_noise'.*known: pair_noise",
    ):
        teacher_split(dataset, "noise")
    with pytest.raises(InputError, match=r"takes no fraction, got 0\.5"):
        teacher_split(dataset, "random_labels", fraction=0.5)
    for fraction in (None, 0.0, 1.5):
        with pytest.raises(InputError, match="needs a fraction above 0 and at most 1"):
            teacher_split(dataset, "pair_noise", fraction=fraction)
    alone = load("synthetic", train_size=20, validation_size=0)
    with pytest.raises(InputError, match="needs a validation split"):
        teacher_split(alone, "validation")
