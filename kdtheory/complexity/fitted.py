"""What an iteration knows besides the interval: the targets' energy, and the kernel predictor."""

import math
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float

from kdtheory.complexity.dual import primal_point
from kdtheory.complexity.factored_kernel import FactoredProducts
from kdtheory.complexity.golub_kahan import GolubKahanState
from kdtheory.complexity.intervals import State
from kdtheory.errors import InputError
from kdtheory.typing import AnyArray


class RitzEnergy(NamedTuple):
    """The targets' energy as k nodes see it."""

    eigenvalues: np.ndarray
    """Nodes, descending, of K without the ridge, shape (k,). The first are those of K to some
    digits; the others stand for many.
    """
    energy: np.ndarray
    """Weights, shape (k,); they sum to ||Y||^2."""


def ritz_energy(state: State, *, ridge: float) -> RitzEnergy:
    """Return the Gauss quadrature of the targets' spectral measure under K.

    sum energy / (eigenvalues + ridge) is the Gauss rule, the lower bound before rounding; for a
    dense kernel `Spectrum.energy` has the measure itself (Golub and Meurant 2010, chapter 6).

    Args:
      state: of `certify` without a preconditioner, for targets that are not zero.
      ridge: the one that `certify` was called with.

    Raises:
      InputError: no state.

    >>> from kdtheory.complexity import certify
    >>> result = certify(np.diag([1.0, 4.0]), np.array([3.0, 2.0]), ridge=0.5)
    >>> energy = ritz_energy(result.states[0], ridge=0.5)
    >>> energy.eigenvalues.round(6), energy.energy.round(6)
    (array([4., 1.]), array([4., 9.]))
    """
    if state is None:
        raise InputError("there is no state: the targets are zero, or the route keeps none")
    if isinstance(state, GolubKahanState):
        lower = np.diag(state.alphas) + np.diag(state.betas[1:], -1)
        vectors, values, _ = np.linalg.svd(lower)
        nodes, weights, norm = values**2, vectors[0] ** 2, float(state.betas[0])
    else:
        values, vectors = scipy.linalg.eigh_tridiagonal(state.diagonal, state.off_diagonal[:-1])
        nodes, weights, norm = values[::-1] - ridge, vectors[0, ::-1] ** 2, state.norm
    return RitzEnergy(nodes, norm**2 * weights)


def fitted_values(
    kernel: FactoredProducts, targets: AnyArray, state: State, *, ridge: float
) -> Float[np.ndarray, " N"]:
    """Return the kernel predictor's values K (K + ridge I)^-1 Y on its own examples, flat.

    To the accuracy that the iteration has reached: no more products on the route "primal", one
    with J on the route "dual".

    Args:
      kernel: the one that `certify` was called with.
      targets: one set of them.
      state: of that result, without a preconditioner; None for targets that are zero.
      ridge: of that result.

    >>> from kdtheory.complexity import certify, factored
    >>> K, Y = factored(np.eye(2)), np.array([2.0, 4.0])
    >>> result = certify(K, Y, ridge=1.0, route="dual")
    >>> fitted_values(K, Y, result.states[0], ridge=1.0).round(6)
    array([1., 2.])
    """
    flat = np.asarray(targets, np.float64).ravel()
    if state is None:
        return np.zeros_like(flat)
    if isinstance(state, GolubKahanState):
        point = primal_point(state, ridge=ridge) @ state.basis[: len(state.alphas) - 1]
        return kernel.jacobian.matvec(point).astype(np.float64)
    steps = len(state.diagonal)
    first = np.zeros(steps)
    first[0] = state.norm
    banded = np.stack([np.append(0.0, state.off_diagonal[:-1]), state.diagonal])
    weights = scipy.linalg.solveh_banded(banded, first)
    return flat - ridge * (weights @ state.basis[:steps].astype(np.float64))


def condition_estimate(state: State, *, ridge: float) -> float:
    """Return (lambda_max + ridge) / ridge with the largest Ritz value for lambda_max.

    At least the condition number of a kernel with a null space, up to the Ritz value's error; an
    upper bound of that of any other.

    >>> from kdtheory.complexity import certify
    >>> result = certify(np.diag([1.0, 4.0]), np.ones(2), ridge=0.5)
    >>> round(condition_estimate(result.states[0], ridge=0.5), 6)
    9.0
    """
    if state is None or ridge <= 0:
        return math.nan
    return (float(ritz_energy(state, ridge=ridge).eigenvalues[0]) + ridge) / ridge
