"""What to measure beside complexity: margins, fidelity, similarity of kernels, failed trainings."""

from kdtheory.analysis.decision_margins import margins
from kdtheory.analysis.health import is_at_chance, marked_failures, training_health
from kdtheory.analysis.similarity import ntk_similarity
from kdtheory.analysis.teacher_fidelity import (
    Fidelity,
    agreement,
    decisions,
    fidelity,
    kl_divergence,
)

__all__ = [
    "Fidelity",
    "agreement",
    "decisions",
    "fidelity",
    "is_at_chance",
    "kl_divergence",
    "margins",
    "marked_failures",
    "ntk_similarity",
    "training_health",
]
