"""A few digits, and where they lie on the device."""

import pytest

from kdtheory.datasets import load
from kdtheory.training import training_data


@pytest.fixture(scope="module")
def dataset():
    return load("digits", train_size=64, test_size=32)


@pytest.fixture(scope="module")
def data(dataset):
    return training_data(dataset.train, mean=dataset.mean, std=dataset.std)
