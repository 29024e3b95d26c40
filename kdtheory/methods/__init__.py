"""The field's distillation methods beside the paper's: one file a method.

A method on logits wraps any provider that has a teacher (`targets.offline`, `targets.online`,
`targets.tabulated`), shows the student the same targets, so that their complexity is measured as
everywhere, and trains by a loss of its own. A method that needs more (features, further views, a
second network) is a `targets.stateful.StatefulMethod`: it has variables of its own, which train in
the student's compiled step.
"""

from kdtheory.methods.crd import crd
from kdtheory.methods.css import css
from kdtheory.methods.dist import dist
from kdtheory.methods.dkd import dkd
from kdtheory.methods.dml import dml
from kdtheory.methods.logit_standardisation import logit_standardisation
from kdtheory.methods.registry import METHODS, Method, register_method
from kdtheory.methods.sskd import sskd

__all__ = [
    "METHODS",
    "Method",
    "crd",
    "css",
    "dist",
    "dkd",
    "dml",
    "logit_standardisation",
    "register_method",
    "sskd",
]
