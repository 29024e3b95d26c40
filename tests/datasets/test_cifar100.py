"""The real CIFAR-100, where a prepared one is at hand."""

import os
from pathlib import Path

import numpy as np
import pytest

from kdtheory.datasets import load


@pytest.fixture(scope="module")
def cifar100_dir():
    folder = os.environ.get("KDTHEORY_DATA_DIR")
    if not folder or not (Path(folder) / "cifar100").is_dir():
        pytest.skip("needs KDTHEORY_DATA_DIR with a prepared cifar100")
    return folder


def test_cifar100_is_read_with_its_fine_classes(cifar100_dir):
    dataset = load("cifar100", data_dir=cifar100_dir, train_size=500, test_size=200)
    assert dataset.image_shape == (32, 32, 3)
    assert dataset.class_names[:3] == ("apple", "aquarium_fish", "baby")
    assert dataset.num_outputs == 100
    assert np.bincount(dataset.train.labels).tolist() == [5] * 100
    assert len(dataset.validation) == 5000
    # The published mean and deviation of all training images: 0.5071 0.4865 0.4409, 0.2673 0.2564
    # 0.2762; 500 images of correlated pixels come within a few hundredths.
    np.testing.assert_allclose(dataset.mean, [0.5071, 0.4865, 0.4409], atol=0.04)
    np.testing.assert_allclose(dataset.std, [0.2673, 0.2564, 0.2762], atol=0.04)


def test_binary_cifar100_is_the_first_half_against_the_second(cifar100_dir):
    arguments = {
        "data_dir": cifar100_dir,
        "train_size": 300,
        "test_size": 10,
        "validation_size": 10,
    }
    full = load("cifar100", **arguments)
    binary = load("cifar100", task="first_half", **arguments)
    np.testing.assert_array_equal(binary.train.labels, full.train.labels < 50)
    assert binary.num_outputs == 1
