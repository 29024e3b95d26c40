"""What to measure beside complexity: margins, fidelity, similarity of kernels, failed trainings."""

from kdtheory.analysis.decision_margins import margins
from kdtheory.analysis.health import (
    FailedTraining,
    failed_trainings,
    is_at_chance,
    training_health,
)
from kdtheory.analysis.similarity import ntk_similarity
from kdtheory.analysis.teacher_fidelity import (
    Fidelity,
    agreement,
    decisions,
    fidelity,
    kl_divergence,
)

__all__ = [
    "FailedTraining",
    "Fidelity",
    "agreement",
    "decisions",
    "failed_trainings",
    "fidelity",
    "is_at_chance",
    "kl_divergence",
    "margins",
    "ntk_similarity",
    "training_health",
]
