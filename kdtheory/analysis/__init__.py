"""What to measure beside complexity: margins, fidelity, similarity of kernels, failed trainings."""

from kdtheory.analysis.decision_margins import margins
from kdtheory.analysis.similarity import ntk_similarity
from kdtheory.analysis.teacher_fidelity import Fidelity, agreement, decisions, fidelity

__all__ = [
    "Fidelity",
    "agreement",
    "decisions",
    "fidelity",
    "margins",
    "ntk_similarity",
]
