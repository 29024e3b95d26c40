"""The one protocol of what supervises a network: targets, the loss that trains on them."""

from abc import ABC, abstractmethod
from typing import Literal

import jax
from jaxtyping import Float, Int

from kdtheory.targets.examples import Examples
from kdtheory.typing import ArrayLike

Form = Literal["probabilities", "logits"]


class TargetProvider(ABC):
    """What supervises a network; a pytree of arrays, so that it can be passed into a training step.

    Write one's own as a `flax.struct.dataclass` that inherits from this class and has `targets` and
    `loss`. `aligned` and `over` let a training compute once a compiled program what does not
    change from step to step (an online teacher's checkpoint), `loaded` lets it read something from
    outside; a provider without such a thing leaves them as they are.
    """

    @abstractmethod
    def targets(
        self, step: Int[ArrayLike, ""] | int, examples: Examples, *, form: Form = "probabilities"
    ) -> Float[jax.Array, "n d"]:
        """Return the targets (n, d) of a student's update number `step`, counted from one."""

    @abstractmethod
    def loss(
        self, logits: Float[ArrayLike, "n d"], step: Int[ArrayLike, ""] | int, examples: Examples
    ) -> Float[jax.Array, " n"]:
        """Return the unreduced loss (n,) of logits (n, d) at an update (counted from one)."""

    def aligned(self, length: int) -> "TargetProvider":
        """Return the same provider, prepared for compiled programs of `length` steps.

        Called before a training, outside of compiled code.
        """
        del length
        return self

    def loaded(self, step: int) -> "TargetProvider":
        """Return what supervises the program that begins after update number `step`.

        Called before each program, outside of compiled code; what it returns has the same kind and
        shapes each time.
        """
        del step
        return self

    def over(self, step: Int[ArrayLike, ""] | int, length: int) -> "TargetProvider":
        """Return a provider that says the same for `length` updates from number `step` on.

        step - 1 is a multiple of `length`. Called inside of a compiled program, once.
        """
        del step, length
        return self
