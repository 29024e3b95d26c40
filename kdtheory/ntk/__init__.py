"""The empirical neural tangent kernel of a model: dense, exact, in batches."""

from kdtheory.ntk.gram import choose_method, gram

__all__ = ["choose_method", "gram"]
