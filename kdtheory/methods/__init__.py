"""The field's distillation methods beside the paper's: one file a method.

A method of this room changes what is done with the teacher's logits. It wraps any provider that has
a teacher (`targets.offline`, `targets.online`, `targets.tabulated`), shows the student the same
targets, so that their complexity is measured as everywhere, and trains by a loss of its own.
"""

from kdtheory.methods.dist import dist
from kdtheory.methods.dkd import dkd
from kdtheory.methods.logit_standardisation import logit_standardisation
from kdtheory.methods.registry import METHODS, Method, register_method

__all__ = [
    "METHODS",
    "Method",
    "dist",
    "dkd",
    "logit_standardisation",
    "register_method",
]
