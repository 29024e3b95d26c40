"""Supervision complexity Y^T (K + ridge I)^-1 Y: how hard targets are for a kernel.

`factorize` is the exact value by Cholesky, in float64, for any number of targets; `eigendecompose`
says which directions make targets complex and gives whole grids of ridges; `pseudo_inverse` is the
remedy for singular kernels; `certify` bounds the value from both sides, from products with the
kernel or with its factor J alone.
"""

from kdtheory.complexity.certified import certify
from kdtheory.complexity.exact import Complexity, Factor, factorize
from kdtheory.complexity.factored_kernel import FactoredKernel, factored
from kdtheory.complexity.fitted import (
    RitzEnergy,
    condition_estimate,
    fitted_values,
    ritz_energy,
)
from kdtheory.complexity.golub_kahan import GolubKahanState
from kdtheory.complexity.intervals import CertifiedComplexity
from kdtheory.complexity.kernel_checks import ridge_from_trace
from kdtheory.complexity.lanczos import LanczosState
from kdtheory.complexity.preconditioner import Preconditioner, nystrom
from kdtheory.complexity.prequential import (
    PrequentialFit,
    prequential_fit,
    prequential_fit_of_features,
    prequential_fit_of_rows,
)
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
    "FactoredKernel",
    "GolubKahanState",
    "LanczosState",
    "Preconditioner",
    "PrequentialFit",
    "PseudoInverseComplexity",
    "RitzEnergy",
    "Spectrum",
    "certify",
    "condition_estimate",
    "eigendecompose",
    "factored",
    "factorize",
    "fitted_values",
    "nystrom",
    "prequential_fit",
    "prequential_fit_of_features",
    "prequential_fit_of_rows",
    "pseudo_inverse",
    "ridge_from_trace",
    "ritz_energy",
]
