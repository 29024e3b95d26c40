"""A teacher's trajectory: the checkpoints that its training left, in the order of their steps."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Int

from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike, Variables


@struct.dataclass
class Trajectory:
    """The checkpoints g^(t_1), ..., g^(t_m) of one teacher, stacked; t_m is its last step."""

    variables: Any
    """The model's variables, each array with a leading axis m."""
    steps: Int[ArrayLike, " m"]
    """t_1 < ... < t_m, int32."""
    spacing: int = struct.field(pytree_node=False, default=1)
    """A divisor of all steps, known before compilation, unlike the steps: it tells which updates
    in a row certainly have one and the same checkpoint. `aligned` sets it."""

    def index(self, step: Int[ArrayLike, ""] | int) -> Int[jax.Array, ""]:
        """Return the position of the first checkpoint with t_i >= step; after the last, the last.

        Source: Harutyunyan et al., ICLR 2023, Algorithm 1.
        """
        steps = jnp.asarray(self.steps)
        found = jnp.searchsorted(steps, jnp.asarray(step, steps.dtype), side="left")
        return jnp.minimum(found, steps.shape[0] - 1)

    def at(self, step: Int[ArrayLike, ""] | int) -> Any:
        """Return the variables of the checkpoint that serves a student's step."""
        position = self.index(step)
        return jax.tree.map(lambda leaf: leaf[position], self.variables)

    def aligned(self, length: int) -> "Trajectory":
        """Return the trajectory with `spacing` set to `length` if that divides all its steps.

        Outside of compiled code; `over` then has something to take out of a loop.
        """
        even = not np.any(np.asarray(self.steps) % length)
        return Trajectory(self.variables, self.steps, length if even else 1)

    def over(self, step: Int[ArrayLike, ""] | int, length: int) -> "Trajectory":
        """Return a trajectory for the updates step, ..., step + length - 1 alone.

        Where they certainly share one checkpoint (`length` divides the spacing, and step - 1 is a
        multiple of `length`), it holds that checkpoint only; otherwise it is the whole trajectory.

        >>> line = stack([{"params": jnp.float32(i)} for i in (1, 2)], [10, 20])
        >>> line.aligned(5).over(11, 5).variables["params"].tolist()
        [2.0]
        """
        if self.spacing % length:
            return self
        here = jax.tree.map(lambda leaf: leaf[None], self.at(step))
        return Trajectory(here, jnp.asarray(self.steps)[-1:], self.spacing)

    def final(self) -> Any:
        """Return the variables of the last checkpoint."""
        return jax.tree.map(lambda leaf: leaf[-1], self.variables)


def stack(checkpoints: Sequence[Variables], steps: Sequence[int]) -> Trajectory:
    """Stack checkpoints into a trajectory.

    Args:
      checkpoints: the variables of each checkpoint, all of one structure.
      steps: their steps, increasing.

    Raises:
      InputError: none, another number of steps, or steps that do not increase.

    >>> trajectory = stack([{"params": jnp.float32(i)} for i in (1, 2)], [10, 20])
    >>> [float(trajectory.at(step)["params"]) for step in (0, 10, 11, 99)]
    [1.0, 1.0, 2.0, 2.0]
    """
    if not checkpoints or len(checkpoints) != len(steps):
        raise InputError(
            f"a trajectory needs as many steps as checkpoints and at least one, "
            f"got {len(checkpoints)} checkpoints and {len(steps)} steps"
        )
    if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
        raise InputError(f"a trajectory's steps must increase, got {list(steps)}")
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *checkpoints)
    return Trajectory(stacked, jnp.asarray(steps, jnp.int32))
