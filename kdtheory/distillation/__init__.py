"""Distillation: losses, target providers and a teacher's trajectory of checkpoints."""

from kdtheory.distillation.losses import (
    class_logits,
    cross_entropy,
    distillation_divergence,
    distillation_loss,
    squared_error,
)
from kdtheory.distillation.tabulated import TabulatedTeacher, tabulate, tabulated
from kdtheory.distillation.targets import (
    Form,
    Labels,
    RandomLabels,
    TargetProvider,
    Teacher,
    centre,
    check_alpha,
    check_temperature,
    mixture_targets,
    offline,
    online,
    residual,
    self_distillation,
    soft_targets,
)
from kdtheory.distillation.teachers import Trajectory, stack

__all__ = [
    "Form",
    "Labels",
    "RandomLabels",
    "TabulatedTeacher",
    "TargetProvider",
    "Teacher",
    "Trajectory",
    "centre",
    "check_alpha",
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
