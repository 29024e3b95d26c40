"""The empirical neural tangent kernel of a model: dense and exact, or as an operator."""

from kdtheory.ntk.dense import gram
from kdtheory.ntk.explanation import explain
from kdtheory.ntk.nystrom import nystrom_gram
from kdtheory.ntk.operators import operator
from kdtheory.ntk.sketched import sketch, sketch_features
from kdtheory.ntk.sum_of_logits import sum_of_logits_error

__all__ = [
    "explain",
    "gram",
    "nystrom_gram",
    "operator",
    "sketch",
    "sketch_features",
    "sum_of_logits_error",
]
