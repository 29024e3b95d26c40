"""What a network is shown in a training step: uint8 in, augmented, normalised and mixed out."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt8, UInt32

from kdtheory.datasets.augment import AugmentConfig, crop_and_flip, cutout_key, random_cutout
from kdtheory.datasets.image_dataset import normalize
from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike


class TrainView(NamedTuple):
    """A batch as the student and the teacher see it."""

    images: Float[Array, "n h w c"]
    """(n, h, w, c), normalised. With mixup, image i is weight x_i + (1 - weight) x_partner[i]."""
    partner: Int[Array, " n"] | None
    """int32 of shape (n,), the row of the batch that is mixed in; None without mixup."""
    weight: Float[Array, ""] | None
    """The scalar weight, float32; None without mixup."""


def train_view(
    key: Key[ArrayLike, ""] | UInt32[ArrayLike, "2"],
    images: UInt8[ArrayLike, "n h w c"] | Float[ArrayLike, "n h w c"],
    *,
    mean: Float[ArrayLike, " c"],
    std: Float[ArrayLike, " c"],
    config: AugmentConfig,
    dtype: Any = jnp.float32,
    crop: int = 0,
) -> TrainView:
    """Return the batch that a training step shows to networks. Pure; call it in the compiled step.

    In this order: crop and flip (on uint8: four times less memory is moved), normalisation, cutout
    (so that the hole is the training split's mean pixel), mixup. Cropping pads with black, as in
    the usual CIFAR recipe. Without cutout and mixup the result is
    `normalize(augment(key, images, config=config), mean, std, dtype)`.

    With mixup the targets are mixed by their losses; see `mix_losses`. A teacher is evaluated on
    `images`, that is, on the mixed ones: its targets are its own predictions there, and are not a
    mixture of two predictions.

    Args:
      key: a JAX PRNG key for this step, such as `jax.random.fold_in(run_key, step)`.
      images: uint8 or floating, of shape (n, h, w, c).
      mean: shape (c,), in units of pixel / 255.
      std: likewise.
      config: static in compiled code.
      crop: other numbers give other crops of the same mirrored images, static.
      dtype: of the images. Arithmetic is in float32 (float64 if `dtype` is); the mixture is rounded
        to `dtype` once.

    >>> images = jnp.full((1, 2, 2, 1), 255, jnp.uint8)
    >>> config = AugmentConfig(crop_padding=0, flip=False, cutout=1)
    >>> view = train_view(jax.random.key(0), images, mean=jnp.zeros(1), std=jnp.ones(1),
    ...                   config=config)
    >>> sorted(view.images.ravel().tolist()), view.partner, view.weight
    ([0.0, 1.0, 1.0, 1.0], None, None)
    """
    working = jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32
    seen = normalize(crop_and_flip(key, images, config=config, crop=crop), mean, std, working)
    if config.cutout:
        seen = random_cutout(cutout_key(key), seen, size=config.cutout)
    if not config.mixup:
        return TrainView(seen.astype(dtype), None, None)
    # 3: 0 to 2 are the crop's, the flip's and the cutout's.
    mixed = mixup(jax.random.fold_in(jnp.asarray(key), 3), seen, alpha=config.mixup)
    return mixed._replace(images=mixed.images.astype(dtype))


def mixup(
    key: Key[ArrayLike, ""] | UInt32[ArrayLike, "2"],
    images: Float[ArrayLike, "n h w c"],
    *,
    alpha: float,
) -> TrainView:
    """Return each image mixed with that of another row of the batch.

    x~_i = weight x_i + (1 - weight) x_partner[i] with one weight ~ Beta(alpha, alpha) and one
    uniformly random permutation `partner` for the batch, as in the authors' code. Source: Zhang,
    Cisse, Dauphin and Lopez-Paz, mixup: Beyond Empirical Risk Minimization, ICLR 2018.

    Raises:
      InputError: unless alpha is above 0 and finite.

    >>> images = jnp.arange(3.0)[:, None, None, None]
    >>> mixed = mixup(jax.random.key(0), images, alpha=1.0)
    >>> expected = mixed.weight * images + (1 - mixed.weight) * images[mixed.partner]
    >>> bool(jnp.allclose(mixed.images, expected))
    True
    """
    if not 0 < alpha < float("inf"):
        raise InputError(f"the alpha of mixup must be above 0 and finite, got {alpha}")
    images = jnp.asarray(images)
    weight_key, partner_key = jax.random.split(key)
    weight = jax.random.beta(weight_key, alpha, alpha, dtype=jnp.float32)
    partner = jax.random.permutation(partner_key, images.shape[0]).astype(jnp.int32)
    own = weight.astype(images.dtype)
    return TrainView(own * images + (1 - own) * images[partner], partner, weight)


def mix_losses(
    view: TrainView, first: Float[ArrayLike, " n"], second: Float[ArrayLike, " n"]
) -> Float[Array, " n"]:
    """Return weight first + (1 - weight) second: the loss of a batch with mixup.

    `first` is the loss (n,) with each row's own label (and index), `second` with its partner's,
    `labels[view.partner]`, both for the same logits. This is how labels are mixed:

    - cross-entropy is linear in the targets, so it is the cross-entropy of the mixed labels;
    - squared error differs from that of the mixed labels by a number that no gradient sees;
    - what a teacher says of the mixed images is in both alike and passes through unchanged (the
      compiler evaluates the teacher once).

    Without mixup (`view.partner` is None) it is `first`.

    >>> view = TrainView(jnp.zeros((1, 1, 1, 1)), jnp.array([0]), jnp.array(0.75))
    >>> mix_losses(view, jnp.array([1.0]), jnp.array([2.0]))
    Array([1.25], dtype=float32)
    """
    first = jnp.asarray(first)
    if view.weight is None:
        return first
    own = view.weight.astype(first.dtype)
    return own * first + (1 - own) * jnp.asarray(second)
