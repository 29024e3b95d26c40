"""Kernels that must be refused, each for its own reason."""

import numpy as np
from jaxtyping import Float

from kdtheory.testing.known_kernel import known_kernel


def faulty_kernels(n: int = 8, *, seed: int = 0) -> dict[str, Float[np.ndarray, "n n"]]:
    """Return matrices (n, n), float64, by what is wrong with them.

    - "singular": an eigenvalue of 0, up to rounding; a ridge cures it.
    - "indefinite": an eigenvalue of -1.
    - "asymmetric": an entry that its mirror image does not have.
    - "not finite": one NaN.

    No y^T K^-1 y of them (without a ridge) is a number to be trusted: code under test should raise.

    >>> from kdtheory.complexity import factorize
    >>> from kdtheory.errors import KernelError
    >>> def refused(gram):
    ...     try:
    ...         factorize(gram)
    ...     except KernelError:
    ...         return True
    ...     return False
    >>> {name: refused(gram) for name, gram in faulty_kernels().items()}
    {'singular': True, 'indefinite': True, 'asymmetric': True, 'not finite': True}
    """
    positive = np.geomspace(1e-2, 1, n)
    sound = known_kernel(positive, seed=seed).gram
    asymmetric, not_finite = sound.copy(), sound.copy()
    asymmetric[0, -1] += 1.0
    not_finite[0, 0] = np.nan
    return {
        "singular": known_kernel([0.0, *positive[1:]], seed=seed).gram,
        "indefinite": known_kernel([-1.0, *positive[1:]], seed=seed).gram,
        "asymmetric": asymmetric,
        "not finite": not_finite,
    }
