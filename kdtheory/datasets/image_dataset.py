"""One image classification problem: images, labels, splits and where they came from."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array as JaxtypingArray
from jaxtyping import Bool, Float, Float32, Int, Num

from kdtheory.arguments import check_count
from kdtheory.datasets.images import checked_images
from kdtheory.datasets.labels import in_range, label_array, whole_numbers
from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """The examples of one split, in host memory.

    The arrays are kept as read-only views, because the fingerprint in
    `ImageDataset.provenance` speaks for them.

    Raises:
      InputError: if the three arrays do not have the same number of examples, or are no images
        or class indices.

    >>> zeros = np.zeros(3, np.int32)
    >>> len(Split(np.zeros((3, 8, 8, 1), np.uint8), zeros, zeros))
    3
    """

    images: np.ndarray
    """Of shape (n, h, w, c): uint8, pixels 0 to 255, or float32 in any units; see
    `kdtheory.datasets.images.checked_images`, which other arrays go through."""
    labels: np.ndarray
    """int32 of shape (n,), class indices 0 to k - 1. Training uses these."""
    clean_labels: np.ndarray
    """int32 of shape (n,), the labels before label noise; equal to `labels` wherever no noise was
    asked for."""
    ids: np.ndarray | None = None
    """int64 of shape (n,), each example's place in the stored split; None for 0, 1, 2, ..."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", checked_images(self.images))
        if self.ids is not None:
            ids = whole_numbers(label_array(self.ids, "ids"), "ids")
            object.__setattr__(self, "ids", ids.astype(np.int64, copy=False))
        for name in ("labels", "clean_labels"):
            values = label_array(getattr(self, name), name)
            if values.ndim != 1:
                raise InputError(f"{name} must have the shape (n,), got {values.shape}")
            indices = whole_numbers(values, name)
            if len(indices) and indices.min() < 0:
                raise InputError(
                    f"{name} must be class indices 0 to k - 1, got {indices.min()}; of a binary "
                    "task, class 0 is the label -1 and class 1 is +1"
                )
            # The array itself, where it is one of int32: two names may share it.
            object.__setattr__(self, name, values.astype(np.int32, copy=False))
        arrays = [field.name for field in dataclasses.fields(self)]
        if self.ids is None:
            arrays.remove("ids")
        sizes = {name: len(getattr(self, name)) for name in arrays}
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
    def places(self) -> Int[np.ndarray, " n"]:
        """Each example's place in the stored split, int64 of shape (n,)."""
        return np.arange(len(self)) if self.ids is None else self.ids

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
    - `mean`, `std`: float32 of shape (c,), of the training split's pixels divided by 255 (of
      floating images too, whatever their units).

    Raises:
      InputError: labels that have no class, or splits whose images differ in shape, dtype or
        units.

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
    """k names. On a binary task index 0 is the class of label -1, index 1 of +1."""
    mean: Float32[np.ndarray, " c"]
    std: Float32[np.ndarray, " c"]
    provenance: Mapping[str, Any]
    """Source, version, seed, sizes, label noise and the SHA-256 fingerprint of all arrays; only
    JSON's types."""
    sample: Split | None = None
    """What was set apart for certificates, in the order drawn; None where nothing was."""

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test", "sample"):
            split = getattr(self, name)
            if split is None:
                continue
            for kind in ("labels", "clean_labels"):
                in_range(getattr(split, kind), self.num_classes, f"{kind} of the {name} split")
            if len(split):
                check_alike(split.images, self.train.images, self.std, name)

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


def check_alike(images: np.ndarray, train: np.ndarray, std: np.ndarray, name: str) -> None:
    """Raise InputError unless a split's images are such as the training ones, and as `std` says.

    >>> train = np.linspace(0, 255, 64, dtype=np.float32).reshape(4, 4, 4, 1)
    >>> check_alike(train / 255, train, np.array([0.3]), "test")
    Traceback (most recent call last):
    kdtheory.errors.InputError: the test images are in other units than the training split: ...
    """
    if images.shape[1:] != train.shape[1:] or images.dtype != train.dtype:
        raise InputError(
            f"the {name} images must be like the training images, {train.dtype} of shape "
            f"(n, {', '.join(map(str, train.shape[1:]))}), got {images.dtype} of {images.shape}"
        )
    if images.dtype == np.uint8:
        return
    spread, theirs = float(images.std()) / 255, float(np.mean(std))
    # A hundred times apart is no chance, but [0, 1] beside 0 to 255, or 8 bits beside 16.
    if spread and not 0.01 < spread / theirs < 100:
        raise InputError(
            f"the {name} images are in other units than the training split: their deviation is "
            f"{255 * spread:g}, and `std`, which is of pixels / 255, says {255 * theirs:g}"
        )


def normalize(
    images: Num[ArrayLike, "n h w c"],
    mean: Float[ArrayLike, " c"],
    std: Float[ArrayLike, " c"],
    dtype: Any = jnp.float32,
) -> Float[JaxtypingArray, "n h w c"]:
    """Return `(images / 255 - mean) / std`: what networks are given. Pure; may be compiled.

    Args:
      images: uint8 or floating, of shape (n, h, w, c), in the units of the images that `mean` and
        `std` are of.
    - `mean`, `std`: shape (c,), in units of pixel / 255 (`ImageDataset.mean` and `.std`).
      dtype: of the result. The arithmetic is done in float32 (float64 if `dtype` is).

    Raises:
      InputError: integers other than uint8, or another number of channels; by dtype and shape, so
        in compiled code too. A deviation that is not above 0, where its value is known.

    >>> images = np.full((1, 2, 2, 1), 255, np.uint8)
    >>> normalize(images, np.array([0.5], np.float32), np.array([0.25], np.float32))[0, 0, 0]
    Array([2.], dtype=float32)
    """
    working = jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32
    given, channels = jnp.asarray(images), (jnp.shape(images)[-1],)
    if given.dtype != jnp.uint8 and not jnp.issubdtype(given.dtype, jnp.floating):
        raise InputError(f"images must be uint8 (0 to 255) or floating, got {given.dtype}")
    if jnp.shape(mean) != channels or jnp.shape(std) != channels:
        raise InputError(
            f"mean and std must have a value for each of the {channels[0]} channels, got shapes "
            f"{jnp.shape(mean)} and {jnp.shape(std)}"
        )
    if not isinstance(std, jax.core.Tracer):
        spread = np.asarray(std)
        if not (spread > 0).all():
            raise InputError(f"std must be above 0 in every channel, got {spread.tolist()}")
    pixels = given.astype(working) / 255
    mean = jnp.asarray(mean).astype(working)[None, None, None, :]
    std = jnp.asarray(std).astype(working)[None, None, None, :]
    return ((pixels - mean) / std).astype(dtype)


def check_class_indices(labels: ArrayLike, num_outputs: int) -> None:
    """Raise InputError unless labels are class indices that have a place among the outputs.

    The values are looked at where they are known, that is, outside of compiled code.

    >>> check_class_indices(np.array([-1, 1]), 1)
    Traceback (most recent call last):
    kdtheory.errors.InputError: class indices must be 0 to 1 for 1 output(s), got -1 to 1; ...
    """
    check_count("num_outputs", num_outputs)
    dtype = getattr(labels, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.integer) or labels.ndim != 1:
        shape = getattr(labels, "shape", "no shape")
        raise InputError(
            f"class indices must be an array of integers of shape (n,), got {dtype or type(labels)}"
            f" of shape {shape}"
        )
    if not isinstance(labels, jax.core.Tracer) and len(labels):
        # NumPy's own: inside of compiled code JAX traces operations on known arrays too.
        values, last = np.asarray(labels), max(num_outputs - 1, 1)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > last:
            remedy = "; class 0 stands for -1 and class 1 for +1" if num_outputs == 1 else ""
            raise InputError(
                f"class indices must be 0 to {last} for {num_outputs} output(s), "
                f"got {low} to {high}{remedy}"
            )


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
    check_class_indices(labels, num_outputs)
    indices = jnp.asarray(labels)
    if num_outputs == 1:
        return jnp.where(indices == 1, 1.0, -1.0).astype(jnp.float32)[:, None]
    return jax.nn.one_hot(indices, num_outputs, dtype=jnp.float32)
