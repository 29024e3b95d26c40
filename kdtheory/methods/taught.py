"""A teacher's provider with another loss: what every method on logits is."""

from collections.abc import Callable
from typing import Any

import jax
from flax import struct
from jaxtyping import Float, Int

from kdtheory.errors import InputError
from kdtheory.targets.examples import Examples
from kdtheory.targets.provider import Form, TargetProvider
from kdtheory.targets.providers import TeacherLogits, mixture_targets
from kdtheory.typing import ArrayLike

#: (settings, student logits (n, d), teacher logits (n, d), labels (n,), step) -> loss (n,).
LogitLoss = Callable[[Any, jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


def _as_they_are(logits: jax.Array) -> jax.Array:
    return logits


@struct.dataclass
class Taught(TargetProvider):
    """The targets of a teacher's provider, and a method's loss on its logits."""

    teacher: Any
    """A provider with a teacher; its checkpoint, temperature and alpha make the targets."""
    settings: Any
    """Numbers of the method, a pytree: others need no new compilation."""
    loss_fn: LogitLoss = struct.field(pytree_node=False)
    """See `LogitLoss`."""
    shown_fn: Callable[[jax.Array], jax.Array] = struct.field(
        pytree_node=False, default=_as_they_are
    )
    """What the student is shown of the teacher's logits (n, d), the same shape."""

    def aligned(self, length: int) -> "Taught":
        """Return the same provider, prepared for `over`: see `targets.Trajectory.aligned`."""
        return self.replace(teacher=self.teacher.aligned(length))  # type: ignore[attr-defined]

    def loaded(self, step: int) -> "Taught":
        """Return the same provider, its teacher's logits read: see `TargetProvider.loaded`."""
        return self.replace(teacher=self.teacher.loaded(step))  # type: ignore[attr-defined]

    def over(self, step: Int[ArrayLike, ""] | int, length: int) -> "Taught":
        """Return the same for `length` updates from `step` on: see `targets.Trajectory.over`."""
        return self.replace(teacher=self.teacher.over(step, length))  # type: ignore[attr-defined]

    def logits(self, step: Int[ArrayLike, ""] | int, examples: Examples) -> Float[jax.Array, "n d"]:
        """Return the teacher's logits (n, d)."""
        return self.teacher.logits(step, examples)

    def targets(
        self, step: Int[ArrayLike, ""] | int, examples: Examples, *, form: Form = "probabilities"
    ) -> Float[jax.Array, "n d"]:
        """Return the targets (n, d) of the teacher's provider, of the logits that are shown."""
        return mixture_targets(
            self.shown_fn(self.teacher.logits(step, examples)),
            examples.labels,
            temperature=self.teacher.temperature,
            alpha=self.teacher.alpha,
            form=form,
        )

    def loss(
        self, logits: Float[ArrayLike, "n d"], step: Int[ArrayLike, ""] | int, examples: Examples
    ) -> Float[jax.Array, " n"]:
        """Return the method's unreduced loss (n,), in nats."""
        return self.loss_fn(
            self.settings,
            jax.numpy.asarray(logits),
            self.teacher.logits(step, examples),
            jax.numpy.asarray(examples.labels),
            jax.numpy.asarray(step),
        )


def check_teacher(teacher: Any, method: str) -> Any:
    """Return the provider, or raise InputError unless it has a teacher's logits."""
    if not isinstance(teacher, TeacherLogits):
        raise InputError(
            f"{method} distils a teacher: give targets.offline(...), online(...) or "
            f"tabulated(...), got {type(teacher).__name__}"
        )
    return teacher


def check_weight(name: str, value: float) -> float:
    """Return a weight, or raise InputError unless it is at least 0 and finite.

    >>> check_weight("beta", 2.0)
    2.0
    """
    if not 0 <= value < float("inf"):
        raise InputError(f"{name} must be at least 0 and finite, got {value}")
    return float(value)
