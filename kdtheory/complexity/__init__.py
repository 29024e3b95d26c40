"""Supervision complexity Y^T (K + ridge I)^-1 Y: how hard targets are for a kernel.

`factorize` is the exact value by Cholesky, in float64, for any number of targets; `eigendecompose`
says which directions make targets complex and gives whole grids of ridges; `pseudo_inverse` is the
remedy for singular kernels; `certify` bounds the value from both sides, from products with the
kernel or with its factor J alone.
"""

from kdtheory.complexity.certified import certify
from kdtheory.complexity.exact import Complexity, Factor, factorize
from kdtheory.complexity.factored_kernel import factored
from kdtheory.complexity.fitted import condition_estimate
from kdtheory.complexity.kernel_checks import ridge_from_trace
from kdtheory.complexity.preconditioner import nystrom
from kdtheory.complexity.prequential import (
    prequential_fit,
    prequential_fit_of_features,
    prequential_fit_of_rows,
)
from kdtheory.complexity.spectrum import Spectrum, eigendecompose, pseudo_inverse

__all__ = [
    "Complexity",
    "Factor",
    "Spectrum",
    "certify",
    "condition_estimate",
    "eigendecompose",
    "factored",
    "factorize",
    "nystrom",
    "prequential_fit",
    "prequential_fit_of_features",
    "prequential_fit_of_rows",
    "pseudo_inverse",
    "ridge_from_trace",
]
