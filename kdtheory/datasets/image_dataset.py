"""One image classification problem: images, labels, splits and where they came from."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array as JaxtypingArray
from jaxtyping import Bool, Float, Float32, Int, Int32, UInt8

from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The examples of one split, in host memory.

    - `images`: uint8 of shape (n, h, w, c), pixels 0 to 255.
    - `labels`: int32 of shape (n,), class indices 0 to k - 1. Training uses these.
    - `clean_labels`: int32 of shape (n,), the labels before label noise; equal to `labels`
      wherever no noise was asked for.

    The arrays are kept as read-only views, because the fingerprint in
    `ImageDataset.provenance` speaks for them.

    Raises:
        InputError: if the three arrays do not have the same number of examples.

    >>> zeros = np.zeros(3, np.int32)
    >>> len(Split(np.zeros((3, 8, 8, 1), np.uint8), zeros, zeros))
    3
    """

    images: UInt8[np.ndarray, "_ _ _ _"]
    labels: Int32[np.ndarray, " _"]
    clean_labels: Int32[np.ndarray, " _"]

    def __post_init__(self) -> None:
        sizes = {field.name: len(getattr(self, field.name)) for field in dataclasses.fields(self)}
        if len(set(sizes.values())) > 1:
            raise InputError(f"a split needs one label for each image, got lengths {sizes}")
        for name in sizes:
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        """Return the number of examples, n."""
        return len(self.labels)

    @property
    def flipped(self) -> Bool[np.ndarray, " n"]:
        """Which labels the noise changed, bool of shape (n,)."""
        return self.labels != self.clean_labels


@dataclasses.dataclass(frozen=True, eq=False)
class ImageDataset:
    """One image classification problem; `kdtheory.datasets.load` makes it.

    - `name`, `task`: the data set's and the task's names.
    - `train`, `validation`, `test`: the splits. `validation` is for every choice that is made by
      looking at data (it may be empty, see `load`); `test` is for reporting alone.
    - `class_names`: k names. On a binary task index 0 is the class of label -1, index 1 of +1.
    - `mean`, `std`: float32 of shape (c,), of the training split's pixels divided by 255.
    - `provenance`: source, version, seed, sizes, label noise and the SHA-256 fingerprint of all
      arrays; only JSON's types.

    >>> from kdtheory.datasets import load
    >>> dataset = load("digits", task="even_odd", train_size=100)
    >>> dataset.num_classes, dataset.num_outputs, dataset.image_shape
    (2, 1, (8, 8, 1))
    """

    name: str
    task: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    mean: Float32[np.ndarray, " c"]
    std: Float32[np.ndarray, " c"]
    provenance: Mapping[str, Any]

    @property
    def num_classes(self) -> int:
        """The number of classes, k."""
        return len(self.class_names)

    @property
    def binary(self) -> bool:
        """Whether there are exactly two classes, so that one logit with labels +-1 is enough."""
        return self.num_classes == 2

    @property
    def num_outputs(self) -> int:
        """The number of logits, d: 1 if `binary`, otherwise `num_classes`."""
        return 1 if self.binary else self.num_classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (h, w, c) of one image."""
        height, width, channels = self.train.images.shape[1:]
        return (height, width, channels)


def normalize(
    images: UInt8[ArrayLike, "n h w c"],
    mean: Float[ArrayLike, " c"],
    std: Float[ArrayLike, " c"],
    dtype: Any = jnp.float32,
) -> Float[JaxtypingArray, "n h w c"]:
    """Return `(images / 255 - mean) / std`: what networks are given. Pure; may be compiled.

    - `images`: uint8 of shape (n, h, w, c).
    - `mean`, `std`: shape (c,), in units of pixel / 255 (`ImageDataset.mean` and `.std`).
    - `dtype`: of the result. The arithmetic is done in float32 (float64 if `dtype` is).

    >>> images = np.full((1, 2, 2, 1), 255, np.uint8)
    >>> normalize(images, np.array([0.5], np.float32), np.array([0.25], np.float32))[0, 0, 0]
    Array([2.], dtype=float32)
    """
    working = jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32
    pixels = jnp.asarray(images).astype(working) / 255
    mean = jnp.asarray(mean).astype(working)[None, None, None, :]
    std = jnp.asarray(std).astype(working)[None, None, None, :]
    return ((pixels - mean) / std).astype(dtype)


def encode_labels(labels: Int[ArrayLike, " n"], num_outputs: int) -> Float32[JaxtypingArray, "n d"]:
    """Return the targets Y that class indices stand for, float32 of shape (n, num_outputs).

    - `num_outputs == 1`: class 1 is +1 and class 0 is -1.
    - otherwise: one-hot rows.

    Pure; may be compiled. Class indices are checked where their values are known, that is,
    outside compiled code.

    Raises:
        InputError: if a class index has no place among the outputs.

    >>> encode_labels(np.array([0, 1], np.int32), 1)
    Array([[-1.], [ 1.]], dtype=float32)
    >>> encode_labels(np.array([2, 0], np.int32), 3)
    Array([[0., 0., 1.], [1., 0., 0.]], dtype=float32)
    """
    if num_outputs < 1:
        raise InputError(f"num_outputs must be at least 1, got {num_outputs}")
    if not isinstance(labels, jax.core.Tracer) and len(labels):
        low, high, last = int(np.min(labels)), int(np.max(labels)), max(num_outputs - 1, 1)
        if low < 0 or high > last:
            raise InputError(
                f"class indices must be 0 to {last} for {num_outputs} output(s), "
                f"got {low} to {high}"
            )
    indices = jnp.asarray(labels)
    if num_outputs == 1:
        return jnp.where(indices == 1, 1.0, -1.0).astype(jnp.float32)[:, None]
    return jax.nn.one_hot(indices, num_outputs, dtype=jnp.float32)
