"""Supervision complexity Y^T (K + ridge I)^-1 Y: how hard targets are for a kernel.

`factorize` is the exact value by Cholesky, in float64, for any number of targets.
"""

from kdtheory.complexity.exact import Complexity, Factor, factorize
from kdtheory.complexity.kernel_checks import ridge_from_trace

__all__ = ["Complexity", "Factor", "factorize", "ridge_from_trace"]
