"""A named network and the training examples of its kernel, without a run."""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from kdtheory import models
from kdtheory.datasets import ImageDataset, normalize
from kdtheory.datasets.data_config import DataConfig
from kdtheory.errors import InputError
from kdtheory.typing import ApplyFn, Variables


class KernelExamples(NamedTuple):
    """The first examples of a training split, as the models see them."""

    dataset: ImageDataset
    """What they are of."""
    images: Float[np.ndarray, "n h w c"]
    """Normalised, shape (n, h, w, c)."""
    labels: Int[np.ndarray, " n"]
    """Classes, shape (n,)."""


def load_examples(data: DataConfig, ntk_size: int) -> KernelExamples:
    """Load the training examples that a kernel is computed on.

    Those of a run of the same data settings. Without train_size and validation_size just as many
    are loaded, and none held out.

    Raises:
      InputError: as `kdtheory.datasets.load`; a size that does not fit is named as --ntk-size.

    >>> load_examples(DataConfig(), 12).images.shape
    (12, 8, 8, 1)
    """
    if ntk_size < 1:
        raise InputError(f"--ntk-size must be at least 1, got {ntk_size}")
    if data.train_size is None and data.validation_size is None:
        data = dataclasses.replace(data, train_size=ntk_size, validation_size=0)
        try:
            dataset = data.load()
        except InputError as error:
            # The argument of `load` is this command's --ntk-size.
            if str(error).startswith("train_size "):
                raise InputError(str(error).replace("train_size", "--ntk-size", 1)) from error
            raise
    else:
        dataset = data.load()
    if ntk_size > len(dataset.train):
        raise InputError(
            f"--ntk-size must be at most the {len(dataset.train)} training examples, got {ntk_size}"
        )
    images = normalize(dataset.train.images[:ntk_size], dataset.mean, dataset.std)
    return KernelExamples(dataset, np.asarray(images), np.asarray(dataset.train.labels[:ntk_size]))


def named_network(model: str, dataset: ImageDataset, seed: int) -> tuple[ApplyFn, Variables]:
    """Return a named model's apply function for a data set, and its initial variables.

    Raises:
      InputError: no such model, or one that the images do not fit.
    """
    network = models.create(model, dataset.num_outputs)
    return network.apply, models.init(network, jax.random.key(seed), dataset.image_shape)
