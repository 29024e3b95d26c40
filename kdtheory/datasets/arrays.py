"""A data set of one's own arrays."""

from collections.abc import Sequence
from typing import Any

from kdtheory.datasets.array_source import array_source
from kdtheory.datasets.image_dataset import ImageDataset
from kdtheory.datasets.loading import load_source
from kdtheory.datasets.selection import Choices

#: Held out for testing where there is no test split and nothing else is asked for.
TEST_FRACTION = 0.2


def from_arrays(
    x: Any,
    y: Any,
    *,
    test: tuple[Any, Any] | None = None,
    validation: tuple[Any, Any] | None = None,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
    **settings: Any,
) -> ImageDataset:
    """Return a data set of your own arrays: nothing is registered, nothing is written.

    Args:
      x: images (n, h, w, c), grey ones also (n, h, w), or features (n, f), which become images of
        one pixel with f channels, each normalised by its own mean and deviation; for mlp students.
      y: labels, one an example: class indices, or any distinct values (texts, -1 and +1, 1 to k),
        whose order is that of the classes.
      test: the same of the test split; without it `test_fraction` of x is held out, 0.2 unless it
        is given.
      validation: of the validation split; without it one is held out.
      class_names: of the classes, in their order.
      name: of the data set, in tables.
      settings: `task`, `train_size`, `label_noise`, `seed` and so on, as for `load`.

    Raises:
      InputError: what are no images or features, or labels that do not fit.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> data = from_arrays(rng.normal(size=(50, 3)), np.repeat(["bad", "good"], 25))
    >>> data.class_names, data.num_outputs, data.image_shape, len(data.train), len(data.test)
    (('bad', 'good'), 1, (1, 1, 3), 36, 10)
    """
    splits = {"train": (x, y), "test": test, "validation": validation}
    source = array_source(name, splits, class_names=class_names, provenance={"source": "arrays"})
    if test is None:
        settings.setdefault("test_fraction", TEST_FRACTION)
    return load_source(source, Choices(**settings), name=name)
