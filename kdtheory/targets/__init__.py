"""Distillation: losses, target providers and a teacher's trajectory of checkpoints."""

from kdtheory.targets.examples import Examples
from kdtheory.targets.functions import offline_function, register_teacher
from kdtheory.targets.losses import (
    cross_entropy,
    distillation_divergence,
    distillation_loss,
    squared_error,
)
from kdtheory.targets.provider import TargetProvider
from kdtheory.targets.providers import (
    Labels,
    RandomLabels,
    Teacher,
    centre,
    offline,
    online,
    residual,
    self_distillation,
    soft_targets,
)
from kdtheory.targets.tabulated import tabulate, tabulated
from kdtheory.targets.trajectory import Trajectory, stack

__all__ = [
    "Examples",
    "Labels",
    "RandomLabels",
    "TargetProvider",
    "Teacher",
    "Trajectory",
    "centre",
    "cross_entropy",
    "distillation_divergence",
    "distillation_loss",
    "offline",
    "offline_function",
    "online",
    "register_teacher",
    "residual",
    "self_distillation",
    "soft_targets",
    "squared_error",
    "stack",
    "tabulate",
    "tabulated",
]
