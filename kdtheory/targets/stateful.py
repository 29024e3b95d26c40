"""The protocol of a method that has variables of its own: heads, a memory bank, a second network.

A `TargetProvider` says what supervises a student, and is the same at every step but for the step's
number. A `StatefulMethod` trains something beside the student: its variables are part of the
training's state, so they are updated in the same compiled step, stored with it, and a broken
training goes on from them bit for bit. It is itself a pytree of arrays, and its functions are pure.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
from jaxtyping import Float, Int

from kdtheory.targets.examples import Examples
from kdtheory.typing import ArrayLike, Variables

#: (PRNG key) -> a network's variables as the student's architecture initialises them.
Fresh = Callable[[jax.Array], Variables]


class TrainStep(NamedTuple):
    """One training step, as a method with variables of its own sees it."""

    forward: Callable[..., tuple[jax.Array, dict[str, Any]]]
    """(variables, images, dropout=1, **arguments) -> (logits, the variables that are no parameters
    after it): the student's architecture in training mode. Networks of one step that have dropout
    take other numbers `dropout`."""
    examples: Examples
    """The batch as every method sees it."""
    view: Callable[[int], jax.Array]
    """k -> the batch's images (n, h, w, c) once more, flipped as in `examples` and cropped at other
    places; of 0 the same."""
    number: Int[ArrayLike, ""]
    """Of the update, counted from one."""
    key: jax.Array
    """PRNG key for the method's own draws at this step."""


class StepLosses(NamedTuple):
    """What a method makes of a step."""

    losses: Float[jax.Array, " n"]
    """Of which the mean over the batch is minimised by the student and by the method's own
    parameters, each with its own state of the optimiser."""
    student: dict[str, Any]
    """The student's variables that are no parameters, after the step."""
    own: dict[str, Any]
    """The method's own that are no parameters, after the step."""


class StatefulMethod(ABC):
    """What trains a student by a loss that needs more than logits and targets.

    Write one's own as a `flax.struct.dataclass` that inherits from this class.
    """

    has_peer: ClassVar[bool] = False
    """Whether its own variables are those of a second network, which the student is shown: then
    they are stored at every point, as the student's are."""

    @abstractmethod
    def init(self, key: jax.Array, fresh: Fresh) -> dict[str, Any]:
        """Return the method's own variables before the first update.

        Args:
          key: PRNG key.
          fresh: makes variables of another network of the student's architecture.

        Returns:
          {"params": what is trained by the student's optimiser, and any other names}.
        """

    @abstractmethod
    def losses(self, step: TrainStep, student: Variables, own: Variables) -> StepLosses:
        """Return a step's losses, a pure function of both networks' variables."""

    def aligned(self, length: int) -> "StatefulMethod":
        """Return the same method: see `TargetProvider.aligned`."""
        del length
        return self

    def loaded(self, step: int) -> "StatefulMethod":
        """Return the same method: see `TargetProvider.loaded`."""
        del step
        return self

    def over(self, step: Int[ArrayLike, ""] | int, length: int) -> "StatefulMethod":
        """Return the same method: see `TargetProvider.over`."""
        del step, length
        return self
