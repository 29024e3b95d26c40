"""Augmentation of single images on the device, inside the compiled training step."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, Num, UInt32

from kdtheory.arguments import check_count, is_number
from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike

#: How a padded border is filled, in `jax.numpy.pad`'s words.
_PAD_MODES = {"zero": "constant", "reflect": "reflect"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What is done to training images; hashable, so that it can be a static argument.

    Raises:
      InputError: for a negative padding, cutout or mixup, or an unknown mode.

    >>> AugmentConfig(crop_padding=2, flip=False, cutout=8)
    AugmentConfig(crop_padding=2, flip=False, padding_mode='zero', cutout=8, mixup=0.0)
    """

    crop_padding: int = 4
    """Pixels added on every side before a crop of the original size is cut out at a uniformly
    random place. 0: no crop."""
    flip: bool = True
    """Mirror left and right with probability 1/2."""
    padding_mode: str = "zero"
    """Either "zero" or "reflect". Zero is black in uint8 images, and the training split's mean
    pixel in normalised ones."""
    cutout: int = 0
    """The side, in pixels, of a square that is filled with zeros around a uniformly random pixel.
    0: none."""
    mixup: float = 0.0
    """The alpha of Beta(alpha, alpha), from which the weight of mixup is drawn. It is a matter of
    whole batches: see `kdtheory.datasets.train_view`. 0: none."""

    def __post_init__(self) -> None:
        for name in ("crop_padding", "cutout"):
            check_count(name, getattr(self, name), least=0)
        if self.padding_mode not in _PAD_MODES:
            raise InputError(
                f"padding_mode must be one of {', '.join(_PAD_MODES)}, got {self.padding_mode!r}"
            )
        if not is_number(self.mixup) or not 0 <= self.mixup < float("inf"):
            raise InputError(f"mixup must be at least 0 and finite, got {self.mixup!r}")


#: Leaves the images as they are.
NO_AUGMENTATION = AugmentConfig(crop_padding=0, flip=False)

# Sets whose images a mirror turns into another class or into none.
_NOT_MIRRORED = (
    "mnist", "mnist_corrupted", "emnist", "kmnist", "cmaterdb", "svhn_cropped", "omniglot",
)  # fmt: skip


def default_augmentation(
    name: str, image_shape: tuple[int, int, int], *, padding_mode: str = "zero"
) -> AugmentConfig:
    """Return the augmentation that is usual for a data set.

    - "digits", and features (images of one pixel): none.
    - Written characters (MNIST and its like, SVHN): crops with an eighth of the image's height as
      padding (4 pixels for 32, 3 for 28), no flips.
    - All other sets: such crops, and flips.

    >>> default_augmentation("cifar100", (32, 32, 3))
    AugmentConfig(crop_padding=4, flip=True, padding_mode='zero', cutout=0, mixup=0.0)
    >>> default_augmentation("digits", (8, 8, 1)) == NO_AUGMENTATION
    True
    """
    if name == "digits" or image_shape[:2] == (1, 1):
        return NO_AUGMENTATION
    family = name.split("/")[0].split(":")[0]
    return AugmentConfig(
        crop_padding=image_shape[0] // 8,
        flip=family not in _NOT_MIRRORED,
        padding_mode=padding_mode,
    )


def augment(
    key: Key[ArrayLike, ""] | UInt32[ArrayLike, "2"],
    images: Num[ArrayLike, "n h w c"],
    *,
    config: AugmentConfig,
) -> Num[Array, "n h w c"]:
    """Return the images, each one cropped, flipped and cut out at random and independently.

    Pure; compile it with `config` static. `kdtheory.datasets.train_view` does this, normalisation
    and mixup in their order.

    Args:
      key: a JAX PRNG key.
      images: (n, h, w, c) of any dtype, normalised or not; the result has the same dtype.

    Raises:
      InputError: if `config` asks for mixup, which this function cannot do.

    >>> images = jnp.ones((2, 4, 4, 1))
    >>> augment(jax.random.key(0), images, config=AugmentConfig(crop_padding=1)).shape
    (2, 4, 4, 1)
    """
    if config.mixup:
        raise InputError("augment treats images one by one: mixup is done by train_view")
    images = crop_and_flip(key, images, config=config)
    if config.cutout:
        images = random_cutout(cutout_key(key), images, size=config.cutout)
    return images


def cutout_key(key: Key[ArrayLike, ""] | UInt32[ArrayLike, "2"]) -> jax.Array:
    """Return the key of a batch's cutouts, derived from the batch's key."""
    # 2: the crop's and the flip's keys, from `split`, are what folding in 0 and 1 would give.
    return jax.random.fold_in(jnp.asarray(key), 2)


def crop_and_flip(
    key: Key[ArrayLike, ""] | UInt32[ArrayLike, "2"],
    images: Num[ArrayLike, "n h w c"],
    *,
    config: AugmentConfig,
    crop: int = 0,
) -> Num[Array, "n h w c"]:
    """Return the images, each one cropped and mirrored at random, and nothing else.

    Other numbers `crop` give other crops of the same mirrored images.

    >>> images = jnp.ones((1, 2, 2, 1))
    >>> crop_and_flip(jax.random.key(0), images, config=AugmentConfig(crop_padding=0)).ravel()
    Array([1., 1., 1., 1.], dtype=float32)
    """
    crop_key, flip_key = jax.random.split(key)
    if crop:
        crop_key = jax.random.fold_in(crop_key, crop)
    images = jnp.asarray(images)
    # The crop last: XLA's CPU compiler would fuse a flip after it into a gather for each pixel,
    # 30 times slower inside a scan.
    if config.flip:
        images = random_flip(flip_key, images)
    if config.crop_padding:
        images = random_crop(
            crop_key, images, padding=config.crop_padding, padding_mode=config.padding_mode
        )
    return images


def random_crop(
    key: Key[ArrayLike, ""] | UInt32[ArrayLike, "2"],
    images: Num[ArrayLike, "n h w c"],
    *,
    padding: int,
    padding_mode: str = "zero",
) -> Num[Array, "n h w c"]:
    """Return crops of the images' size at uniformly random places of the padded images.

    Args:
      padding: pixels on every side, so that an image moves by at most as many.

    >>> random_crop(jax.random.key(0), jnp.ones((1, 2, 2, 1)), padding=0).ravel()
    Array([1., 1., 1., 1.], dtype=float32)
    """
    images = jnp.asarray(images)
    border = (padding, padding)
    padded = jnp.pad(images, ((0, 0), border, border, (0, 0)), mode=_PAD_MODES[padding_mode])
    corners = jax.random.randint(key, (images.shape[0], 2), 0, 2 * padding + 1)

    def cut(image: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), images.shape[1:])

    return jax.vmap(cut)(padded, corners)


def random_flip(
    key: Key[ArrayLike, ""] | UInt32[ArrayLike, "2"], images: Num[ArrayLike, "n h w c"]
) -> Num[Array, "n h w c"]:
    """Return the images, each mirrored left to right with probability 1/2.

    >>> images = jnp.arange(2.0).reshape(1, 1, 2, 1).repeat(4, axis=0)
    >>> random_flip(jax.random.key(1), images)[:, 0, :, 0].sum(axis=1)
    Array([1., 1., 1., 1.], dtype=float32)
    """
    images = jnp.asarray(images)
    flips = jax.random.bernoulli(key, 0.5, (images.shape[0], 1, 1, 1))
    return jnp.where(flips, images[:, :, ::-1, :], images)


def random_cutout(
    key: Key[ArrayLike, ""] | UInt32[ArrayLike, "2"],
    images: Num[ArrayLike, "n h w c"],
    *,
    size: int,
) -> Num[Array, "n h w c"]:
    """Return the images, each with a square of `size` by `size` pixels set to zero.

    The square's centre is a uniformly random pixel, so that the square may reach over the border
    and show only in part. Source: DeVries and Taylor, arXiv 1708.04552, 2017.

    >>> random_cutout(jax.random.key(0), jnp.ones((1, 3, 3, 1)), size=1).sum()
    Array(8., dtype=float32)
    """
    images = jnp.asarray(images)
    n, height, width, _ = images.shape
    row_key, column_key = jax.random.split(key)

    def covered(key: jax.Array, length: int) -> jax.Array:
        start = jax.random.randint(key, (n, 1), 0, length) - size // 2
        place = jnp.arange(length)[None, :]
        return (place >= start) & (place < start + size)

    rows, columns = covered(row_key, height), covered(column_key, width)
    hole = rows[:, :, None, None] & columns[:, None, :, None]
    return jnp.where(hole, jnp.zeros((), images.dtype), images)
