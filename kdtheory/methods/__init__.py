"""The field's distillation methods beside the paper's: one file a method.

A method of this room changes what is done with the teacher's logits. It wraps any provider that has
a teacher (`targets.offline`, `targets.online`, `targets.tabulated`), shows the student the same
targets, so that their complexity is measured as everywhere, and trains by a loss of its own.
"""

from kdtheory.methods.dist import dist, dist_loss
from kdtheory.methods.dkd import dkd, dkd_loss, dkd_terms
from kdtheory.methods.logit_standardisation import logit_standardisation, standardise
from kdtheory.methods.taught import Taught

__all__ = [
    "Taught",
    "dist",
    "dist_loss",
    "dkd",
    "dkd_loss",
    "dkd_terms",
    "logit_standardisation",
    "standardise",
]
