"""The empirical neural tangent kernel of a model: dense and exact, or as an operator."""

from kdtheory.ntk.gram import choose_method, gram
from kdtheory.ntk.operator import Estimate, NtkOperator, operator

__all__ = ["Estimate", "NtkOperator", "choose_method", "gram", "operator"]
