"""Supervision complexity Y^T (K + ridge I)^-1 Y: how hard targets are for a kernel.

`factorize` is the exact value by Cholesky, in float64, for any number of targets; `eigendecompose`
says which directions make targets complex and gives whole grids of ridges; `pseudo_inverse` is the
remedy for singular kernels; `certify` bounds the value from products with the kernel alone.
"""

from kdtheory.complexity.certified import CertifiedComplexity, certify
from kdtheory.complexity.exact import Complexity, Factor, factorize
from kdtheory.complexity.kernel_checks import ridge_from_trace
from kdtheory.complexity.lanczos import LanczosState
from kdtheory.complexity.nystrom import Preconditioner, nystrom
from kdtheory.complexity.spectrum import (
    ComplexityCurve,
    PseudoInverseComplexity,
    Spectrum,
    eigendecompose,
    pseudo_inverse,
)

__all__ = [
    "CertifiedComplexity",
    "Complexity",
    "ComplexityCurve",
    "Factor",
    "LanczosState",
    "Preconditioner",
    "PseudoInverseComplexity",
    "Spectrum",
    "certify",
    "eigendecompose",
    "factorize",
    "nystrom",
    "pseudo_inverse",
    "ridge_from_trace",
]
