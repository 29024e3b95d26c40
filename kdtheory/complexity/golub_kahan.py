"""Golub-Kahan bidiagonalisation from the targets, one-sidedly reorthogonalised, that can go on.

scipy's LSQR and LSMR run the same recurrence, but keep no basis, and no coefficients to make
quadratures of; matfree's runs a number of steps fixed in advance and starts in R^P.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from kdtheory.complexity.factored_kernel import ArrayJacobian, JacobianProducts
from kdtheory.complexity.norms import array_norm_bound, random_norm_bound
from kdtheory.errors import KernelError


class GolubKahanState(NamedTuple):
    """Everything that k steps leave behind; plain arrays, so `np.savez` stores it.

    With V the rows of `basis`, u_1 = Y / ||Y|| and B lower bidiagonal with `alphas` on its diagonal
    and `betas[1:]` below it: J V_k^T = U_{k+1} B_k up to rounding, U_{k+1} not stored but its last.
    """

    basis: np.ndarray
    """Orthonormal rows, float64, shape (k + 1, P)."""
    alphas: np.ndarray
    """float64, shape (k + 1,)."""
    betas: np.ndarray
    """float64, shape (k + 1,); the first is ||Y||."""
    left: np.ndarray
    """U_{k+1}, shape (N,)."""
    norm: float
    """A bound of ||J||."""


class GolubKahan:
    """The process for one start vector.

    The vectors of length P are kept in float64 and reorthogonalised (twice, Gram-Schmidt); those of
    length N = n d are not kept. One side is enough: the bidiagonal matrix is then that of a matrix
    near J (Simon and Zha 2000; Barlow 2013, "Reorthogonalization for the Golub-Kahan-Lanczos
    bidiagonal reduction"), and `dual` does not rest on it anyway. A step is one pass over the data:
    w = J v - alpha u needs only the own rows of u, so that J^T w can be taken in the same pass.
    """

    def __init__(
        self, jacobian: JacobianProducts, start: Float[np.ndarray, " N"], *, norm: float
    ) -> None:
        self._jacobian = jacobian
        length = float(np.linalg.norm(start))
        self.left = (start / length).astype(jacobian.dtype)
        first = _finite(jacobian.rmatvec(self.left))
        alpha = float(np.linalg.norm(first))
        self.alphas, self.betas = [alpha], [length]
        self._rows = np.zeros((8, first.size))
        if alpha > 0:
            self._rows[0] = first / alpha
        self._norm = max(norm, alpha)

    @classmethod
    def resume(cls, jacobian: JacobianProducts, state: GolubKahanState) -> "GolubKahan":
        """Return the process as it was when the state was taken."""
        process = cls.__new__(cls)
        process._jacobian = jacobian
        process._rows = np.array(state.basis)
        process.alphas = [float(a) for a in state.alphas]
        process.betas = [float(b) for b in state.betas]
        process.left = np.array(state.left)
        process._norm = float(state.norm)
        return process

    @property
    def state(self) -> GolubKahanState:
        """A copy of everything that the process needs to go on."""
        return GolubKahanState(
            basis=self.basis.copy(),
            alphas=np.array(self.alphas),
            betas=np.array(self.betas),
            left=self.left.copy(),
            norm=self._norm,
        )

    @property
    def steps(self) -> int:
        """Steps so far: columns of B."""
        return len(self.alphas) - 1

    @property
    def basis(self) -> Float[np.ndarray, "k P"]:
        """The k + 1 right vectors, as rows."""
        return self._rows[: self.steps + 1]

    @property
    def norm(self) -> float:
        """A bound of ||J||: the larger of the given one and of B's row and column sums."""
        alphas, betas = np.array(self.alphas), np.array(self.betas)
        rows = alphas + np.concatenate([[0.0], betas[1:]])
        columns = alphas[:-1] + betas[1:]
        own = math.sqrt(float(rows.max()) * float(columns.max(initial=alphas[0])))
        return max(self._norm, own)

    @property
    def exhausted(self) -> bool:
        """Whether the Krylov space is invariant: what is left of a direction is rounding."""
        floor = 10 * float(np.finfo(self._jacobian.dtype).eps) * self.norm
        full = self.steps >= min(self._jacobian.shape)
        return full or self.alphas[-1] <= floor or (self.steps > 0 and self.betas[-1] <= floor)

    def advance(self) -> None:
        """Make one step: one product with J and one with J^T, in one pass."""
        k = self.steps
        direction, alpha = self._rows[k], self.alphas[-1]
        w, image = self._jacobian.residual(direction, self.left, -alpha)
        w, image = _finite(w), _finite(image)
        beta = float(np.linalg.norm(w))
        self.betas.append(beta)
        if beta > 0:
            self.left = (w / beta).astype(self._jacobian.dtype)
            image = image / beta - beta * direction
        if k + 2 > self._rows.shape[0]:
            grown = np.empty((min(2 * (k + 2), k + 66), self._rows.shape[1]))
            grown[: k + 1] = self._rows[: k + 1]
            self._rows = grown
        basis = self._rows[: k + 1]
        for _ in range(2):
            image -= (basis @ image) @ basis
        following = float(np.linalg.norm(image)) if beta > 0 else 0.0
        self.alphas.append(following)
        self._rows[k + 1] = image / following if following > 0 else 0.0


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise KernelError("a product with the Jacobian is not finite; compute it again")
    return values.astype(np.float64)


def jacobian_norm_bound(jacobian: JacobianProducts) -> float:
    """Return a bound of ||J||: of its entries where it is an array, and of its products.

    The second fails with a probability of `norms.FAILURE`.
    """
    zero = np.zeros(jacobian.shape[0], jacobian.dtype)
    square = random_norm_bound(
        lambda v: _finite(jacobian.residual(v, zero, 0.0)[1]), jacobian.shape[1]
    )
    bound = math.sqrt(square)
    if isinstance(jacobian, ArrayJacobian):
        bound = min(bound, array_norm_bound(jacobian.array))
    return bound
