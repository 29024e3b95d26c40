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
        (lambda x: None, "what a teacher's function returns must be an array of numbers"),
    ],
)
def test_what_is_no_logits_is_one_line(function, message):
    with pytest.raises(InputError, match=message):
        offline_function(function, IMAGES)
    with pytest.raises(InputError, match="no images"):
        function_logits(function, IMAGES[:0])


class Tensor:
    """What PyTorch gives away only when asked to forget the gradient."""

    def __init__(self, values, needs_gradient=True):
        self.values, self.needs_gradient = values, needs_gradient

    def detach(self):
        return Tensor(self.values, needs_gradient=False)

    def __array__(self, *arguments, **settings):
        if self.needs_gradient:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return np.asarray(self.values)


def test_it_may_return_a_tensor_that_needs_a_gradient():
    found = function_logits(lambda images: Tensor(linear(images)), IMAGES)
    np.testing.assert_array_equal(found, linear(IMAGES))


def test_a_network_of_pytorch_is_a_teacher():
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    found = function_logits(lambda images: network(torch.tensor(images).float()), IMAGES)
    with torch.no_grad():
        np.testing.assert_array_equal(found, network(torch.tensor(IMAGES).float()).numpy())
    half = function_logits(lambda x: network(torch.tensor(x).float()).bfloat16(), IMAGES)
    np.testing.assert_allclose(half, found, rtol=1e-2, atol=1e-2)
