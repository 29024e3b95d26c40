"""A kernel with a prescribed spectrum, whose complexities are known exactly."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike


class KnownKernel(NamedTuple):
    """K = Q diag(l) Q^T."""

    gram: Float[np.ndarray, "n n"]
    """K, float64, exactly symmetric."""
    eigenvalues: Float[np.ndarray, " n"]
    """l, as they were asked for."""
    eigenvectors: Float[np.ndarray, "n n"]
    """Q, a column an eigenvalue."""

    def targets(
        self, coefficients: Sequence[float] | Float[ArrayLike, " n"]
    ) -> Float[np.ndarray, " n"]:
        """Return y = Q c, float64, for coefficients c of shape (n,)."""
        return self.eigenvectors @ np.asarray(coefficients, np.float64)

    def complexity(
        self, coefficients: Sequence[float] | Float[ArrayLike, " n"], ridge: float = 0.0
    ) -> float:
        """Return y^T (K + ridge I)^-1 y = sum_i c_i^2 / (l_i + ridge) for y = Q c.

        Source: the spectral theorem.
        """
        c = np.asarray(coefficients, np.float64)
        return float(np.sum(c**2 / (self.eigenvalues + ridge)))


def known_kernel(
    eigenvalues: Sequence[float] | Float[ArrayLike, "..."], *, seed: int = 0
) -> KnownKernel:
    """Return a kernel with these eigenvalues and random eigenvectors.

    Args:
      eigenvalues: l_i, of shape (n,), finite; a kernel's are at least 0.
      seed: of the eigenvectors.

    Raises:
      InputError: eigenvalues that are not n >= 1 finite numbers.

    >>> from kdtheory.complexity import factorize
    >>> known = known_kernel([4.0, 2.0, 1.0])
    >>> y = known.targets([2.0, 2.0, 1.0])
    >>> known.complexity([2.0, 2.0, 1.0])
    4.0
    >>> round(factorize(known.gram).complexity(y).complexity, 12)
    4.0
    """
    values = np.asarray(eigenvalues, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise InputError(f"eigenvalues must be finite numbers of shape (n,), got {values.shape}")
    drawn = np.random.default_rng(seed).standard_normal((values.size, values.size))
    q, _ = np.linalg.qr(drawn)
    gram = (q * values) @ q.T
    return KnownKernel((gram + gram.T) / 2, values, q)
