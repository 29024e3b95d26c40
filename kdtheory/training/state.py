"""What training works on: a split on the device, batches, the state, and what supervises it."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int, Num

from kdtheory.datasets import Split
from kdtheory.targets.examples import Examples
from kdtheory.typing import ArrayLike


class Batch(NamedTuple):
    """The rows of a step, or of several steps along a first axis, as they are stored."""

    images: Num[ArrayLike, "*steps n h w c"]
    labels: Int[ArrayLike, "*steps n"]
    indices: Int[ArrayLike, "*steps n"]
    """Positions in the training split."""


class TrainingData(NamedTuple):
    """A whole training split on the device, with its normalisation."""

    images: Num[ArrayLike, "n h w c"]
    labels: Int[ArrayLike, " n"]
    mean: Float[ArrayLike, " c"]
    std: Float[ArrayLike, " c"]


class HostBatches(NamedTuple):
    """The batches of several steps that came from the host, and their normalisation."""

    batches: Batch
    """Arrays of shape (steps, ...)."""
    mean: Float[ArrayLike, " c"]
    std: Float[ArrayLike, " c"]


class TrainState(NamedTuple):
    """All that changes in training."""

    step: Int[ArrayLike, ""]
    """Number of updates made."""
    params: Any
    model_state: dict[str, Any]
    """The variables that are not parameters: {"batch_stats": ...} or {}."""
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """The model's variables, for `model.apply`."""
        return {"params": self.params, **self.model_state}


@runtime_checkable
class Supervision(Protocol):
    """What the loop asks of a target provider: a pytree with the loss of a batch.

    A provider may also have two methods, which let the loop compute once a program what does not
    change from step to step (an online teacher's checkpoint). `aligned(length)` returns the same
    provider, prepared for programs of `length` steps; it is called outside of compiled code.
    `over(step, length)` returns a provider that says the same for the `length` updates from number
    `step` on, where step - 1 is a multiple of `length`; it is called inside.
    """

    def loss(self, logits: jax.Array, step: jax.Array, examples: Examples) -> jax.Array:
        """Return the unreduced loss (n,) of logits (n, d) at an update (counted from one)."""
        ...


def training_data(split: Split, *, mean: np.ndarray, std: np.ndarray) -> TrainingData:
    """Put a split on the device as it is: uint8, or float32."""
    return TrainingData(
        jnp.asarray(split.images),
        jnp.asarray(split.labels),
        jnp.asarray(mean, jnp.float32),
        jnp.asarray(std, jnp.float32),
    )


def init_state(variables: dict[str, Any], optimizer: optax.GradientTransformation) -> TrainState:
    """Return the state before the first update.

    >>> state = init_state({"params": {"w": jnp.ones(2)}}, optax.sgd(0.1))
    >>> int(state.step), state.model_state
    (0, {})
    """
    model_state = {name: value for name, value in variables.items() if name != "params"}
    params = variables["params"]
    return TrainState(jnp.zeros((), jnp.int32), params, model_state, optimizer.init(params))
