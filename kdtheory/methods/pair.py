"""What a method with variables of its own is made for: a student, its teacher, a task."""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import numpy as np
from jaxtyping import Int

from kdtheory.errors import InputError
from kdtheory.typing import ApplyFn, Variables


@dataclass(frozen=True, kw_only=True)
class Networks:
    """A student, a teacher and a task, before anything is trained."""

    student: nn.Module
    teacher: nn.Module | None
    """None where nothing but its logits is known."""
    image_shape: tuple[int, int, int]
    num_outputs: int

    def needed_teacher(self) -> nn.Module:
        """Return the teacher's network, or raise InputError where there is none."""
        if self.teacher is None:
            raise InputError(
                "it needs the teacher as a network: --teacher and --teacher-variables in the place "
                "of --teacher-logits or --teacher-function"
            )
        return self.teacher


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The same, with the trained teacher and the training's data and length."""

    networks: Networks
    teacher_apply: ApplyFn | None
    """(variables, images) -> logits, in inference mode."""
    teacher_variables: Variables | None
    """Of its last checkpoint."""
    labels: Int[np.ndarray, " n"]
    """Of the training split."""
    total_steps: int
    """The student's updates."""
    stage: Any = None
    """What the method's earlier stage trained, if it has one."""
