"""The empirical neural tangent kernel of a model: dense and exact, or as an operator."""

from kdtheory.ntk.dense import choose_method, gram
from kdtheory.ntk.explanation import EquationCost, Explanation, explain
from kdtheory.ntk.nystrom import NystromGram, nystrom_gram
from kdtheory.ntk.operators import Estimate, NtkOperator, operator
from kdtheory.ntk.sketched import SketchedFeatures, SketchedGram, sketch, sketch_features
from kdtheory.ntk.sum_of_logits import SumOfLogits, compare_sum_of_logits, sum_of_logits_error

__all__ = [
    "EquationCost",
    "Estimate",
    "Explanation",
    "NtkOperator",
    "NystromGram",
    "SketchedFeatures",
    "SketchedGram",
    "SumOfLogits",
    "choose_method",
    "compare_sum_of_logits",
    "explain",
    "gram",
    "nystrom_gram",
    "operator",
    "sketch",
    "sketch_features",
    "sum_of_logits_error",
]
