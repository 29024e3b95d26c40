"""A teacher whose logits on the training examples are known: looked up instead of computed."""

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Float, Int

from kdtheory.datasets import AugmentConfig
from kdtheory.datasets.augment import NO_AUGMENTATION
from kdtheory.errors import InputError
from kdtheory.targets.arguments import check_alpha, check_temperature
from kdtheory.targets.decisions import accuracy
from kdtheory.targets.examples import Examples
from kdtheory.targets.providers import TeacherLogits
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


def check_tables(
    provider: Any,
    *,
    examples: int | None = None,
    labels: np.ndarray | None = None,
    augmentation: AugmentConfig | None = None,
) -> None:
    """Raise InputError if a table of logits inside a provider does not belong to a training.

    Args:
      provider: any target provider; one without a table always passes.
      examples: size of the training split.
      labels: its labels. The last checkpoint is compared with them: decisions that are right no
        more often than always guessing the most frequent class are warned of, because rows in
        another order look like that. (So does a teacher that is meant to be bad.)
      augmentation: of the training; a table knows the images as they are.

    >>> table = tabulated(tabulate([jnp.eye(3)], [1]))
    >>> check_tables(table, examples=4)
    Traceback (most recent call last):
    kdtheory.errors.InputError: the table of logits has 3 rows, the training split 4 examples
    """
    found = jax.tree.leaves(provider, is_leaf=lambda node: isinstance(node, TabulatedTeacher))
    for table in (node for node in found if isinstance(node, TabulatedTeacher)):
        rows = table.table.variables.shape[1]
        if examples is not None and rows != examples:
            raise InputError(
                f"the table of logits has {rows:,} rows, the training split {examples:,} examples"
            )
        if augmentation is not None and augmentation != NO_AUGMENTATION:
            raise InputError(
                "a table of logits knows the training images as they are: under augmentation, "
                "cutout and mixup give the teacher itself (targets.offline or online)"
            )
        if labels is not None:
            check_tables(table, examples=len(labels))
            _warn_at_chance(accuracy(table.table.variables[-1], labels), np.asarray(labels))


def chance_of(accuracy: float, labels: np.ndarray) -> float | None:
    """Return the share of the most frequent class if decisions are no better than guessing it.

    >>> chance_of(0.5, np.array([0, 1, 0, 1])), chance_of(1.0, np.array([0, 1, 0, 1]))
    (0.5, None)
    """
    chance = int(np.max(np.bincount(labels))) / len(labels)
    # Three standard deviations of a guess; all right is no guess, however few there are.
    guess = chance + 3 * np.sqrt(chance * (1 - chance) / len(labels))
    return chance if accuracy < 1 and accuracy <= guess else None


def _warn_at_chance(accuracy: float, labels: np.ndarray) -> None:
    chance = chance_of(accuracy, labels)
    if chance is not None:
        warnings.warn(
            f"the tabulated teacher is right for {accuracy:.1%} of the {len(labels):,} training "
            f"labels (the most frequent class: {chance:.1%}): are its rows in the order of the "
            "training split?",
            stacklevel=4,
        )


def tabulate(logits: Sequence[Float[ArrayLike, "n d"]], steps: Sequence[int]) -> Trajectory:
    """Return a teacher's logits on the training examples as a table for `tabulated`, float32.

    Args:
      logits: each checkpoint's, (n, d), in the order of the training split.
      steps: the checkpoints' steps, increasing.

    Raises:
      InputError: none, another number of steps, steps that do not increase, logits of several
        shapes, probabilities in the place of logits, or logits that are NaN or +inf (-inf is a
        class that is ruled out).

    >>> tabulate([jnp.zeros((3, 2)), jnp.ones((3, 2))], [5, 10]).variables.shape
    (2, 3, 2)
    """
    check_steps(len(logits), steps)
    arrays = [np.asarray(values) for values in logits]
    for step, array in zip(steps, arrays, strict=True):
        if array.ndim != 2 or array.shape != arrays[0].shape or array.dtype.kind not in "fiu":
            raise InputError(
                "a table of logits is numbers (n, d), alike for all checkpoints, got "
                f"{array.dtype} of shape {array.shape} at step {step} and {arrays[0].shape} at "
                f"step {steps[0]}"
            )
        # -inf: a class that is ruled out, of which a row may have several, but not all.
        bad = np.isnan(array) | (array == np.inf)
        bad |= (array == -np.inf).all(axis=1, keepdims=True) & (array.shape[1] > 1)
        if bad.any():
            raise InputError(
                f"the logits at step {step} must be finite, or -inf for a class that is ruled out; "
                f"{int(bad.any(axis=1).sum()):,} of {len(array):,} rows are not"
            )
        inside = (array > 0) & (array < 1)
        one = np.allclose(array.sum(axis=1), 1, atol=1e-3)
        if array.shape[1] > 1 and one and (array >= 0).all() and inside.any():
            raise InputError(
                f"the rows at step {step} are probabilities, and logits are wanted: give their "
                "logarithm, np.log(p)"
            )
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
