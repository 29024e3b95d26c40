"""Claims of the theory, each a file with a check that can refute it; `run_claims` runs them."""

from kdtheory.claims import (
    bayes_teacher,
    certificate_coverage,
    chain_rule,
    data_inefficiency,
    early_stopped_student,
    early_stopping,
    exaggerated_confidence,
    imperfect_teacher,
    infinite_width,
    linear_distillation,
    linearised_training,
    margin_bounds,
    mistake_bound,
    norm_identity,
    online_teacher,
    parameter_displacement,
    random_labels,
    repeated_self_distillation,
    self_distillation,
    self_distillation_weight,
    surrogate_targets,
    teacher_capacity,
    temperature,
    top_directions,
    transfer_risk,
    true_labels,
    weak_to_strong,
)
from kdtheory.claims.claim import Claim, Outcome
from kdtheory.claims.page import write_page
from kdtheory.claims.validate import Validation, run_claims, select_claims
from kdtheory.errors import InputError

#: Every claim, in the order in which they are run; `register_claim` adds one.
CLAIMS: list[Claim] = [
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
    chain_rule.CLAIM,
    mistake_bound.CLAIM,
    certificate_coverage.CLAIM,
    self_distillation_weight.CLAIM,
    repeated_self_distillation.CLAIM,
    surrogate_targets.CLAIM,
    top_directions.CLAIM,
    exaggerated_confidence.CLAIM,
    weak_to_strong.CLAIM,
    early_stopped_student.CLAIM,
    teacher_capacity.CLAIM,
]


def register_claim(claim: Claim) -> Claim:
    """Make a claim of your own one that `kdtheory validate` runs; return it.

    Raises:
      InputError: the name is taken.

    >>> register_claim(CLAIMS[0])
    Traceback (most recent call last):
    kdtheory.errors.InputError: a claim named 'norm_identity' exists already
    """
    if claim.name in [known.name for known in CLAIMS]:
        raise InputError(f"a claim named {claim.name!r} exists already")
    CLAIMS.append(claim)
    return claim


__all__ = [
    "CLAIMS",
    "Claim",
    "Outcome",
    "Validation",
    "register_claim",
    "run_claims",
    "select_claims",
    "write_page",
]
