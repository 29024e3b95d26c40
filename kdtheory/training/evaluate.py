"""Logits of a model in inference mode, over a split of any size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from kdtheory.datasets import normalize
from kdtheory.typing import ApplyFn, ArrayLike, Variables


@functools.partial(jax.jit, static_argnums=0)
def _logits(
    apply_fn: ApplyFn, variables: Variables, images: jax.Array, mean: jax.Array, std: jax.Array
) -> jax.Array:
    return apply_fn(variables, normalize(images, mean, std))


def predict_logits(
    apply_fn: ApplyFn,
    variables: Variables,
    images: UInt8[np.ndarray, "n h w c"] | Float[np.ndarray, "n h w c"],
    *,
    mean: Float[ArrayLike, " c"],
    std: Float[ArrayLike, " c"],
    batch_size: int = 256,
) -> Float[np.ndarray, "n d"]:
    """Return the logits of images, batch after batch, by one compiled program.

    Args:
      apply_fn: (variables, normalised images) -> logits; `model.apply` is one.
      variables: the model's variables.
      images: (n, h, w, c), uint8 or floating, as in a `Split`.
      mean: the training split's mean (c,), in units of pixel / 255.
      std: the training split's standard deviation (c,), in the same units.
      batch_size: examples a dispatch; the last batch is padded to it.

    Returns:
      Logits (n, d) on the host.
    """
    count = len(images)
    batch_size = min(batch_size, max(count, 1))
    mean, std = jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)
    outputs = []
    for start in range(0, max(count, 1), batch_size):
        batch = images[start : start + batch_size]
        padding = batch_size - len(batch)
        if padding:
            batch = np.concatenate([batch, np.zeros((padding, *batch.shape[1:]), batch.dtype)])
        outputs.append(_logits(apply_fn, variables, jnp.asarray(batch), mean, std))
    # Fetched when all are dispatched: an accelerator need not wait for the host between batches.
    return np.concatenate([np.asarray(logits) for logits in outputs])[:count]
