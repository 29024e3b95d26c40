"""A teacher whose logits on the batches of a training are known: looked up by the step.

Where images are augmented, a training shows each batch in a view of its own, which is a function of
its key and the step. So a table of one epoch's logits has a row a step, and a training that looks
its teacher up reads one table an epoch.
"""

from abc import ABC, abstractmethod

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Float, Int

from kdtheory.errors import InputError
from kdtheory.targets.examples import Examples
from kdtheory.targets.providers import TeacherLogits
from kdtheory.typing import ArrayLike


class EpochTables(ABC):
    """Where a teacher's tables come from."""

    @abstractmethod
    def at(self, step: int) -> Float[jax.Array, "steps b d"]:
        """Return the table of the epoch in which update number `step` + 1 lies.

        A row for each of its steps: the logits on that step's batch, in its order, of any floating
        dtype. For every step of an epoch it is one and the same array.
        """


@struct.dataclass
class LogitsOnViews(TeacherLogits):
    """The teacher of `TeacherOnViews` for the steps of one epoch."""

    table: Float[ArrayLike, "steps b d"]
    temperature: Float[ArrayLike, ""]
    alpha: Float[ArrayLike, ""]

    def logits(self, step: Int[ArrayLike, ""] | int, examples: Examples) -> Float[jax.Array, "n d"]:
        """Return the logits (n, d), float32, of a step's batch: `examples` must be that batch.

        With mixup its labels may be the partners': the teacher's logits are those of the images.

        Raises:
          InputError: a batch of another size.
        """
        table = jnp.asarray(self.table)
        count, size = jnp.shape(examples.labels)[0], table.shape[1]
        if count != size:
            raise InputError(f"the teacher's tables have batches of {size} examples, got {count}")
        # Updates are counted from one.
        row = (jnp.asarray(step, jnp.int32) - 1) % table.shape[0]
        return table[row].astype(jnp.float32)


@struct.dataclass
class TeacherOnViews(TeacherLogits):
    """A teacher whose logits a training looks up, epoch by epoch."""

    temperature: Float[ArrayLike, ""]
    alpha: Float[ArrayLike, ""]
    tables: EpochTables = struct.field(pytree_node=False)

    def loaded(self, step: int) -> LogitsOnViews:
        """Return the teacher of the epoch that goes on after update number `step`."""
        return LogitsOnViews(self.tables.at(step), self.temperature, self.alpha)

    def logits(self, step: Int[ArrayLike, ""] | int, examples: Examples) -> Float[jax.Array, "n d"]:
        """Raise InputError: outside of its training nobody knows these examples' logits."""
        raise InputError("a teacher that is looked up knows the batches of its training alone")
