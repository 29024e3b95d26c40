"""A network's forward pass in a training step."""

import contextlib
from typing import Any

import jax

from kdtheory.training.kept_inputs import kept_convolution_inputs
from kdtheory.typing import ApplyFn, ArrayLike, Variables


def train_forward(
    apply_fn: ApplyFn,
    variables: Variables,
    images: jax.Array,
    *,
    step: ArrayLike,
    step_key: jax.Array,
    dropout: int = 1,
    **arguments: Any,
) -> tuple[jax.Array, dict[str, Any]]:
    """Return the logits in training mode, and the variables other than parameters after it.

    Args:
      apply_fn: the network's.
      variables: its variables.
      images: (b, h, w, c).
      step: the number of steps made.
      step_key: PRNG key of the step.
      dropout: number of its dropout's key; networks of one step have different ones.
      **arguments: further ones of the network.
    """
    on_cpu = jax.default_backend() == "cpu"
    with kept_convolution_inputs(step) if on_cpu else contextlib.nullcontext():
        logits, updated = apply_fn(
            variables,
            images,
            train=True,
            mutable=[name for name in variables if name != "params"],
            rngs={"dropout": jax.random.fold_in(step_key, dropout)},
            **arguments,
        )
    return logits, dict(updated)
