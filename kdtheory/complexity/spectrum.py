"""Complexity by eigendecomposition: which directions make targets complex, and at what ridge."""

import math
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float, Real

from kdtheory.complexity.kernel_checks import (
    Precision,
    checked_copy,
    indefinite,
    precision_of,
    singular,
)
from kdtheory.complexity.stacks import stack_targets
from kdtheory.errors import InputError
from kdtheory.typing import AnyArray, ArrayLike


class ComplexityCurve(NamedTuple):
    """Complexity over a grid of m ridges."""

    ridge: np.ndarray
    """Shape (m,)."""
    complexity: np.ndarray
    """Y^T (K + ridge I)^-1 Y, shape (m,), or (k, m) for a stack of k targets."""
    adjusted: np.ndarray
    """(1/n) sqrt(complexity Tr K), same shape."""
    effective_dimension: np.ndarray
    """Tr K (K + ridge I)^-1, shape (m,), between 0 and N."""


class PseudoInverseComplexity(NamedTuple):
    """Complexity on the kernel's numerical range alone; see `pseudo_inverse`.

    Floats for one set of targets, arrays of shape (k,) for a stack, where marked (*).
    """

    complexity: float | np.ndarray
    """(*) Y^T K^+ Y."""
    adjusted: float | np.ndarray
    """(*) (1/n) sqrt(complexity Tr K)."""
    lost_energy: float | np.ndarray
    """(*) share of ||Y||^2 outside the numerical range, in [0, 1]: what no function of this kernel
    fits, and what `complexity` leaves out.
    """
    trace: float
    """Tr K."""
    rank: int
    """Eigenvalues above `threshold`."""
    threshold: float
    """Below it an eigenvalue counts as 0."""


class Spectrum:
    """Eigenvalues and eigenvectors of a kernel, and complexity in their terms.

    Made by `eigendecompose`.
    """

    def __init__(
        self,
        eigenvalues: np.ndarray,
        eigenvectors: np.ndarray,
        *,
        trace: float,
        precision: Precision,
        num_outputs: int | None,
    ) -> None:
        #: In descending order, shape (N,).
        self.eigenvalues = eigenvalues
        #: Column i belongs to eigenvalue i, shape (N, N).
        self.eigenvectors = eigenvectors
        #: Tr K.
        self.trace = trace
        self._precision = precision
        self._num_outputs = num_outputs

    def energy(self, targets: AnyArray) -> Float[np.ndarray, "..."]:
        """Return the targets' energy in each eigendirection, (q_i^T Y)^2.

        It sums to ||Y||^2. Shape (N,) for one set of targets, (k, N) for a stack (shapes as for
        `Factor.complexity`).

        Raises:
          InputError: targets of another length, or not finite.

        >>> eigendecompose(np.diag([1.0, 4.0])).energy(np.array([3.0, 2.0]))
        array([4., 9.])
        """
        energy, _, stacked = self._energy(targets)
        return energy if stacked else energy[0]

    def complexity_terms(
        self, targets: AnyArray, *, ridge: float = 0.0
    ) -> Float[np.ndarray, "..."]:
        """Return what each eigendirection adds to the complexity, energy_i / (lambda_i + ridge).

        Shape (N,), or (k, N) for a stack; the sum over the last axis is the complexity.

        Raises:
          InputError: targets of another length or not finite, negative ridge.
          KernelError: K + ridge I is singular at the precision of the kernel.

        >>> spectrum = eigendecompose(np.diag([1.0, 4.0]))
        >>> spectrum.complexity_terms(np.array([3.0, 2.0]))
        array([1., 9.])
        """
        ridges = self._ridges(np.array([ridge]))
        return self.energy(targets) / (self.eigenvalues + ridges[0])

    def curve(self, targets: AnyArray, ridges: Real[ArrayLike, " m"]) -> ComplexityCurve:
        """Return complexity and effective dimension for a grid of ridges at no further solve.

        Args:
          targets: as for `Factor.complexity`.
          ridges: shape (m,), >= 0, in the kernel's unit.

        Raises:
          InputError: targets of another length or not finite, ridges below 0.
          KernelError: K + ridge I is singular at the precision of the kernel for one of them.

        >>> curve = eigendecompose(np.diag([1.0, 4.0])).curve(np.ones(2), np.array([0.0, 1.0]))
        >>> curve.complexity, curve.effective_dimension
        (array([1.25, 0.7 ]), array([2. , 1.3]))
        """
        grid = self._ridges(np.asarray(ridges, dtype=np.float64))
        energy, num_examples, stacked = self._energy(targets)
        inverse = 1 / (self.eigenvalues[:, None] + grid)
        complexity = energy @ inverse
        adjusted = np.sqrt(complexity) * math.sqrt(self.trace) / num_examples
        # A rounding error below zero in an eigenvalue is a zero, not a negative dimension.
        dimension = np.maximum(self.eigenvalues, 0.0) @ inverse
        return ComplexityCurve(
            ridge=grid,
            complexity=complexity if stacked else complexity[0],
            adjusted=adjusted if stacked else adjusted[0],
            effective_dimension=dimension,
        )

    def pseudo_inverse(
        self, targets: AnyArray, *, threshold: float | None = None
    ) -> PseudoInverseComplexity:
        """Return Y^T K^+ Y on the numerical range, with its rank and the energy that it loses.

        Args:
          targets: as for `Factor.complexity`.
          threshold: eigenvalues at or below it count as 0; by default N eps lambda_max, eps that
            of the coarser of the kernel's own dtype and the dtype of the work.

        Raises:
          InputError: targets of another length or not finite, a threshold that is not >= 0.

        >>> singular = eigendecompose(np.diag([2.0, 0.0]))
        >>> result = singular.pseudo_inverse(np.array([2.0, 2.0]))
        >>> result.complexity, result.rank, result.lost_energy
        (2.0, 1, 0.5)
        """
        largest = max(float(self.eigenvalues[0]), 0.0)
        if threshold is None:
            threshold = self.eigenvalues.size * self._precision.eps * largest
        if not (math.isfinite(threshold) and threshold >= 0):
            raise InputError(f"threshold must be finite and >= 0, got {threshold}")
        rank = int(np.count_nonzero(self.eigenvalues > threshold))
        energy, num_examples, stacked = self._energy(targets)
        complexity = energy[:, :rank] @ (1 / self.eigenvalues[:rank])
        adjusted = np.sqrt(complexity) * math.sqrt(self.trace) / num_examples
        total = energy.sum(axis=1)
        lost = energy[:, rank:].sum(axis=1)
        share = np.divide(lost, total, out=np.zeros_like(lost), where=total > 0)
        return PseudoInverseComplexity(
            complexity=complexity if stacked else float(complexity[0]),
            adjusted=adjusted if stacked else float(adjusted[0]),
            lost_energy=share if stacked else float(share[0]),
            trace=self.trace,
            rank=rank,
            threshold=float(threshold),
        )

    def _energy(self, targets: AnyArray) -> tuple[np.ndarray, int, bool]:
        stack = stack_targets(
            targets,
            size=self.eigenvalues.size,
            num_outputs=self._num_outputs,
            dtype=self.eigenvectors.dtype,
        )
        energy = (stack.columns.T @ self.eigenvectors).astype(np.float64) ** 2
        return energy, stack.num_examples, stack.stacked

    def _ridges(self, ridges: np.ndarray) -> np.ndarray:
        if ridges.ndim != 1 or not np.isfinite(ridges).all() or (ridges < 0).any():
            raise InputError(f"ridges must be finite, >= 0, of shape (m,), got {ridges}")
        ridge = float(ridges.min(initial=math.inf))
        largest, smallest = float(self.eigenvalues[0]) + ridge, self.eigenvalues[-1] + ridge
        if ridges.size and smallest <= self._precision.eps * largest:
            raise singular(
                condition=largest / smallest if smallest > 0 else math.inf,
                # The 2-norm is not above the 1-norm, which the remedy is stated in.
                norm=math.sqrt(self.eigenvalues.size) * largest,
                size=self.eigenvalues.size,
                ridge=ridge,
                precision=self._precision,
            )
        return ridges


def eigendecompose(gram: AnyArray, *, num_outputs: int | None = None) -> Spectrum:
    """Return the spectrum of a kernel, in float64 on the host.

    Costs some ten times `factorize` and a second array of the kernel's size; after it every
    ridge, target and direction is cheap.

    Args:
      gram: kernel, shape (N, N), real, symmetric, positive semidefinite. It is not changed.
      num_outputs: d, so that flat targets count n = N / d examples; see `factorize`.

    Returns:
      A `Spectrum`. Singular kernels are allowed: only what needs their inverse is refused.

    Raises:
      KernelError: not square, empty, not finite, asymmetric beyond rounding, or indefinite.
      InputError: num_outputs that does not divide N.

    >>> eigendecompose(np.array([[2.0, 1.0], [1.0, 2.0]])).eigenvalues.round(12)
    array([3., 1.])
    """
    matrix = checked_copy(gram, dtype=np.dtype(np.float64))
    size = matrix.shape[0]
    if num_outputs is not None and (num_outputs < 1 or size % num_outputs):
        raise InputError(f"num_outputs must divide the kernel's {size} rows, got {num_outputs}")
    precision = precision_of(gram, matrix.dtype)
    trace = float(matrix.diagonal().sum())
    norm = float(np.abs(matrix).sum(axis=0).max())
    eigenvalues, eigenvectors = scipy.linalg.eigh(
        matrix, overwrite_a=True, check_finite=False, driver="evd"
    )
    error = indefinite(float(eigenvalues[0]), size=size, norm=norm, ridge=0.0, precision=precision)
    if error is not None:
        raise error
    return Spectrum(
        eigenvalues[::-1].copy(),
        eigenvectors[:, ::-1],
        trace=trace,
        precision=precision,
        num_outputs=num_outputs,
    )


def pseudo_inverse(
    gram: AnyArray,
    targets: AnyArray,
    *,
    num_outputs: int | None = None,
    threshold: float | None = None,
) -> PseudoInverseComplexity:
    """Return the complexity of targets on the numerical range of a singular kernel.

    The remedy where `factorize` refuses and a ridge is not wanted. Read it with `lost_energy`: a
    kernel of small rank makes any targets look simple by leaving most of them out.

    Args and errors: as for `eigendecompose` and `Spectrum.pseudo_inverse`.

    >>> pseudo_inverse(np.diag([4.0, 0.0]), np.array([2.0, 0.0])).complexity
    1.0
    """
    spectrum = eigendecompose(gram, num_outputs=num_outputs)
    return spectrum.pseudo_inverse(targets, threshold=threshold)
