"""Claims of the theory, each a file with a check that can refute it; `run_claims` runs them."""

from kdtheory.claims import (
    bayes_teacher,
    data_inefficiency,
    early_stopping,
    imperfect_teacher,
    infinite_width,
    linear_distillation,
    linearised_training,
    margin_bounds,
    norm_identity,
    online_teacher,
    parameter_displacement,
    random_labels,
    self_distillation,
    temperature,
    transfer_risk,
    true_labels,
)
from kdtheory.claims.claim import Claim, Outcome
from kdtheory.claims.page import write_page
from kdtheory.claims.validate import Validation, run_claims, select_claims

#: Every claim, in the order in which they are run.
CLAIMS: tuple[Claim, ...] = (
    norm_identity.CLAIM,
    margin_bounds.CLAIM,
    random_labels.CLAIM,
    temperature.CLAIM,
    early_stopping.CLAIM,
    online_teacher.CLAIM,
    self_distillation.CLAIM,
    linear_distillation.CLAIM,
    transfer_risk.CLAIM,
    parameter_displacement.CLAIM,
    data_inefficiency.CLAIM,
    imperfect_teacher.CLAIM,
    bayes_teacher.CLAIM,
    infinite_width.CLAIM,
    linearised_training.CLAIM,
    true_labels.CLAIM,
)

__all__ = ["CLAIMS", "Claim", "Outcome", "Validation", "run_claims", "select_claims", "write_page"]
