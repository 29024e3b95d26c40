"""A teacher whose logits on the training examples are known: looked up instead of computed."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Float, Int

from kdtheory.targets.examples import Examples
from kdtheory.targets.providers import TeacherLogits, check_alpha, check_temperature
from kdtheory.targets.trajectory import Trajectory, check_steps
from kdtheory.typing import ArrayLike


@struct.dataclass
class TabulatedTeacher(TeacherLogits):
    """The teacher of `Teacher`, with a table of logits in place of inference passes.

    It knows the training examples alone, as they are: where the student's images are augmented, the
    teacher has to see them.
    """

    table: Trajectory
    """Its variables are the logits (m, n, d) of the m checkpoints on the n training examples."""
    temperature: Float[ArrayLike, ""]
    alpha: Float[ArrayLike, ""]

    def logits(self, step: Int[ArrayLike, ""] | int, examples: Examples) -> Float[jax.Array, "n d"]:
        """Return the teacher's logits g (n, d) of the examples' indices, before the temperature."""
        # One gather of the batch's rows, whatever the size of the table.
        return self.table.variables[self.table.index(step), jnp.asarray(examples.indices)]


def tabulate(logits: Sequence[Float[ArrayLike, "n d"]], steps: Sequence[int]) -> Trajectory:
    """Return a teacher's logits on the training examples as a table for `tabulated`, float32.

    Args:
      logits: each checkpoint's, (n, d), in the order of the training split.
      steps: the checkpoints' steps, increasing.

    Raises:
      InputError: none, another number of steps, or steps that do not increase.

    >>> tabulate([jnp.zeros((3, 2)), jnp.ones((3, 2))], [5, 10]).variables.shape
    (2, 3, 2)
    """
    check_steps(len(logits), steps)
    table = jnp.stack([jnp.asarray(values, jnp.float32) for values in logits])
    return Trajectory(table, jnp.asarray(steps, jnp.int32))


def tabulated(
    table: Trajectory, *, temperature: float = 1.0, alpha: float = 1.0
) -> TabulatedTeacher:
    """Return `online` (or, by `table.last_only()`, `offline`) from known logits.

    The targets and losses are those of `online` on images that are not augmented, to rounding.

    Args:
      table: from `tabulate`.
      temperature: tau > 0.
      alpha: weight of the teacher beside the labels, in [0, 1].

    Raises:
      InputError: a temperature or a weight out of range.

    >>> table = tabulate([jnp.array([[1.0], [2.0], [3.0]])], [5])
    >>> examples = Examples(jnp.zeros((2, 1)), jnp.array([0, 1]), jnp.array([2, 0]))
    >>> tabulated(table, temperature=4.0).logits(3, examples).tolist()
    [[3.0], [1.0]]
    """
    return TabulatedTeacher(
        table,
        jnp.asarray(check_temperature(temperature), jnp.float32),
        jnp.asarray(check_alpha(alpha), jnp.float32),
    )
