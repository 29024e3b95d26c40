"""What to measure beside complexity: margins, fidelity to the teacher, similarity of kernels."""

from kdtheory.analysis.fidelity import Fidelity, agreement, decisions, fidelity, kl_divergence
from kdtheory.analysis.margins import margins
from kdtheory.analysis.similarity import ntk_similarity

__all__ = [
    "Fidelity",
    "agreement",
    "decisions",
    "fidelity",
    "kl_divergence",
    "margins",
    "ntk_similarity",
]
