"""A teacher that is a function of NumPy batches."""

import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.targets import offline_function, tabulate, tabulated
from kdtheory.targets.functions import function_logits

IMAGES = np.random.default_rng(0).integers(0, 256, size=(10, 2, 2, 1), dtype=np.uint8)


def linear(images):
    assert images.dtype == np.uint8
    return images.reshape(len(images), -1)[:, :3].astype(np.float64) - 100


def test_it_is_asked_once_about_each_image_and_its_answers_are_a_table():
    asked = []

    def teacher(images):
        asked.append(len(images))
        return linear(images)

    made = offline_function(teacher, IMAGES, temperature=4.0, alpha=0.5, batch_size=4)
    assert asked == [4, 4, 2]
    same = tabulated(tabulate([linear(IMAGES)], [1]), temperature=4.0, alpha=0.5)
    np.testing.assert_array_equal(made.table.variables, same.table.variables)
    assert (float(made.temperature), float(made.alpha)) == (4.0, 0.5)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: linear(x)[:1], r"must return floating logits \(10, d\) of 10 images"),
        (lambda x: linear(x).astype(int), "got int64"),
        (lambda x: linear(x)[:, 0], "got float64"),
        (lambda x: linear(x) * np.nan, "must be finite"),
        (lambda x: np.full((len(x), 4), 0.25), "are probabilities"),
    ],
)
def test_what_is_no_logits_is_one_line(function, message):
    with pytest.raises(InputError, match=message):
        offline_function(function, IMAGES)
    with pytest.raises(InputError, match="no images"):
        function_logits(function, IMAGES[:0])
