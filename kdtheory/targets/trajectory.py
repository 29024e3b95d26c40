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

    def rescheduled(self, steps: Sequence[int]) -> "Trajectory":
        """Return the same checkpoints at other steps, whose shapes a compiled program shares.

        The steps need not increase strictly: a checkpoint at the step of the one before it is never
        used, as `index` gives the first.

        Raises:
          InputError: another number of steps, or steps that fall.

        >>> line = stack([{"params": jnp.float32(i)} for i in (1, 2, 3)], [10, 20, 30])
        >>> [int(line.rescheduled([5, 5, 9]).index(step)) for step in (1, 5, 6, 99)]
        [0, 0, 2, 2]
        """
        check_steps(jnp.shape(self.steps)[0], steps, strictly=False)
        return Trajectory(self.variables, jnp.asarray(steps, jnp.int32))

    def last_only(self) -> "Trajectory":
        """Return a trajectory that gives the last checkpoint at every step.

        It still holds all of them, and so shares compiled programs with the whole trajectory.
        """
        return self.rescheduled([-1] * jnp.shape(self.steps)[0])

    def final(self) -> Any:
        """Return the variables of the last checkpoint."""
        return jax.tree.map(lambda leaf: leaf[-1], self.variables)


def check_steps(checkpoints: int, steps: Sequence[int], *, strictly: bool = True) -> None:
    """Raise InputError unless there is one step a checkpoint, at least one, and they increase.

    >>> check_steps(2, [10, 20])
    """
    if not checkpoints or checkpoints != len(steps):
        raise InputError(
            f"a trajectory needs as many steps as checkpoints and at least one, "
            f"got {checkpoints} checkpoints and {len(steps)} steps"
        )
    if any(step != int(step) for step in steps):
        raise InputError(f"a trajectory's steps must be whole numbers, got {list(steps)}")
    if any(
        later < earlier or (strictly and later == earlier)
        for earlier, later in itertools.pairwise(steps)
    ):
        raise InputError(f"a trajectory's steps must increase, got {list(steps)}")


def stack(checkpoints: Sequence[Variables], steps: Sequence[int]) -> Trajectory:
    """Stack checkpoints into a trajectory.

    Args:
      checkpoints: the variables of each checkpoint, all of one structure.
      steps: their steps, increasing.

    Raises:
      InputError: none, checkpoints of several networks, another number of steps, or steps that do
        not increase.

    >>> trajectory = stack([{"params": jnp.float32(i)} for i in (1, 2)], [10, 20])
    >>> [float(trajectory.at(step)["params"]) for step in (0, 10, 11, 99)]
    [1.0, 1.0, 2.0, 2.0]
    """
    if hasattr(checkpoints, "keys"):
        raise InputError("checkpoints are a list of variables, got one dictionary: [variables]")
    check_steps(len(checkpoints), steps)
    first = jax.tree.map(jnp.shape, checkpoints[0])
    for step, other in zip(steps, checkpoints, strict=True):
        if jax.tree.map(jnp.shape, other) != first:
            raise InputError(
                f"all checkpoints are of one network: the one at step {step} has other variables "
                f"or shapes than the one at step {steps[0]}"
            )
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *checkpoints)
    return Trajectory(stacked, jnp.asarray(steps, jnp.int32))
