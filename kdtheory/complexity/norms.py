"""Upper bounds of a kernel's norm: the scale of the rounding of every product with it.

The part of the spectrum that an iteration from the targets has seen is no such scale: targets
orthogonal to the top eigenvectors never see the largest eigenvalues, whose rounding they still get.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from kdtheory.errors import KernelError

#: Products that a bound from products alone takes.
POWER_STEPS = 8
#: Probability, over the random start, that such a bound is too small.
FAILURE = 1e-6


def array_norm_bound(matrix: Float[np.ndarray, "N M"]) -> float:
    """Return the smaller of ||A||_F and sqrt(||A||_1 ||A||_inf), which are at least ||A||_2.

    >>> round(array_norm_bound(np.ones((3, 3))), 9), round(array_norm_bound(np.eye(100)), 9)
    (3.0, 1.0)
    """
    wide = matrix.astype(np.float64, copy=False)
    frobenius, columns, rows = (float(np.linalg.norm(wide, kind)) for kind in ("fro", 1, np.inf))
    # Sums of positive terms: a relative error of some eps each, at most N M of them.
    slack = 1 + matrix.size * float(np.finfo(np.float64).eps)
    return min(frobenius, math.sqrt(columns) * math.sqrt(rows)) * slack


def random_norm_bound(
    apply: Callable[[np.ndarray], np.ndarray],
    size: int,
    *,
    steps: int = POWER_STEPS,
    failure: float = FAILURE,
    seed: int = 0,
) -> float:
    """Bound the norm of a positive semidefinite A from products with it, by the power method.

    Args:
      apply: (N,) -> A times it.
      size: N.
      steps: k, products; more of them make the bound tighter, not safer.
      failure: probability, over the random start, that the bound is below ||A||.
      seed: of the start.

    Returns:
      (||A^k g|| / t)^(1/k), g standard normal, t = failure sqrt(pi / 2); between ||A|| and, but for
      chance, (sqrt(N) / t)^(1/k) ||A||: some 5 to 10 times it for the default values.

    Raises:
      KernelError: a product that is not finite.

    ||A^k g|| >= ||A||^k |u^T g| with u the top eigenvector, and |u^T g| < t with probability at
    most t sqrt(2 / pi). Source: Dixon 1983, "Estimating extremal eigenvalues and condition numbers
    of matrices".

    >>> 5.0 <= random_norm_bound(lambda v: np.array([5.0, 1.0]) * v, 2) <= 50.0
    True
    """
    direction = np.random.default_rng(seed).normal(size=size)
    logarithm = 0.0
    for step in range(steps + 1):
        length = float(np.linalg.norm(direction.astype(np.float64)))
        if not math.isfinite(length):
            raise KernelError(
                "a product of the kernel with a random direction is not finite: all must be finite"
            )
        if length == 0:
            return 0.0
        logarithm += math.log(length)
        if step < steps:
            direction = np.asarray(apply(direction / length))
    return math.exp((logarithm - math.log(failure * math.sqrt(math.pi / 2))) / steps)
