"""What training works on: a split on the device or the host, batches, and the state."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int, Num

from kdtheory.datasets import Split, StreamedSplit
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


class Auxiliary(NamedTuple):
    """What a method trains beside the student (`targets.stateful`)."""

    variables: dict[str, Any]
    """{"params": ..., and others}."""
    opt_state: Any
    """Of its parameters."""


class TrainState(NamedTuple):
    """All that changes in training."""

    step: Int[ArrayLike, ""]
    """Number of updates made."""
    params: Any
    model_state: dict[str, Any]
    """The variables that are not parameters: {"batch_stats": ...} or {}."""
    opt_state: Any
    auxiliary: Auxiliary | tuple[()] = ()
    """Of a method that trains something beside the student; otherwise empty."""

    @property
    def variables(self) -> dict[str, Any]:
        """The model's variables, for `model.apply`."""
        return {"params": self.params, **self.model_state}


class HostData(NamedTuple):
    """A training split that stays on the host, with its normalisation: its batches are streamed."""

    split: Split | StreamedSplit
    mean: Float[ArrayLike, " c"]
    std: Float[ArrayLike, " c"]


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
