"""What to measure beside complexity: margins, fidelity to the teacher, similarity of kernels."""

from kdtheory.analysis.decision_margins import margins
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
    "kl_divergence",
    "margins",
    "ntk_similarity",
]
