"""Distillation: losses, target providers and a teacher's trajectory of checkpoints."""

from kdtheory.targets.arguments import check_alpha, check_temperature
from kdtheory.targets.examples import Examples
from kdtheory.targets.losses import (
    class_logits,
    cross_entropy,
    distillation_divergence,
    distillation_loss,
    squared_error,
)
from kdtheory.targets.provider import Form, TargetProvider
from kdtheory.targets.providers import (
    Labels,
    RandomLabels,
    Teacher,
    centre,
    mixture_targets,
    offline,
    online,
    residual,
    self_distillation,
    soft_targets,
)
from kdtheory.targets.tabulated import TabulatedTeacher, check_tables, tabulate, tabulated
from kdtheory.targets.trajectory import Trajectory, stack

__all__ = [
    "Examples",
    "Form",
    "Labels",
    "RandomLabels",
    "TabulatedTeacher",
    "TargetProvider",
    "Teacher",
    "Trajectory",
    "centre",
    "check_alpha",
    "check_tables",
    "check_temperature",
    "class_logits",
    "cross_entropy",
    "distillation_divergence",
    "distillation_loss",
    "mixture_targets",
    "offline",
    "online",
    "residual",
    "self_distillation",
    "soft_targets",
    "squared_error",
    "stack",
    "tabulate",
    "tabulated",
]
