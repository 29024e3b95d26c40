"""The empirical neural tangent kernel of a model: dense and exact, or as an operator."""

from kdtheory.ntk.gram import choose_method, gram
from kdtheory.ntk.nystrom_gram import NystromGram, nystrom_gram
from kdtheory.ntk.operator import Estimate, NtkOperator, operator
from kdtheory.ntk.sketch import SketchedFeatures, SketchedGram, sketch, sketch_features
from kdtheory.ntk.sum_of_logits import SumOfLogits, compare_sum_of_logits, sum_of_logits_error

__all__ = [
    "Estimate",
    "NtkOperator",
    "NystromGram",
    "SketchedFeatures",
    "SketchedGram",
    "SumOfLogits",
    "choose_method",
    "compare_sum_of_logits",
    "gram",
    "nystrom_gram",
    "operator",
    "sketch",
    "sketch_features",
    "sum_of_logits_error",
]
