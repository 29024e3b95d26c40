"""Lanczos tridiagonalisation that can stop, go on, and say how far rounding carried it.

matfree's Lanczos runs a number of steps fixed in advance; a certificate needs to look at the
interval after every few steps, and to go on from a saved state. Hence this one.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from kdtheory.errors import InputError


class LanczosState(NamedTuple):
    """Everything that k steps leave behind; plain arrays, so `np.savez` stores it.

    With A the operator, Q the rows of `basis` but the last and T the tridiagonal matrix,
    A Q^T = Q^T T + off_diagonal[k-1] basis[k] e_k^T up to rounding.
    """

    basis: np.ndarray
    """Orthonormal rows, shape (k + 1, N)."""
    diagonal: np.ndarray
    """Of T, float64, shape (k,)."""
    off_diagonal: np.ndarray
    """float64, shape (k,); its last entry leads out of T."""
    norm: float
    """Euclidean norm of the start vector."""
    stray: float
    """Largest norm, over the steps, of what symmetry says is 0 in A q and was removed."""


class Lanczos:
    """The process for one start vector, with full reorthogonalisation (twice, Gram-Schmidt).

    `direction` is the vector that the operator must be applied to next; `advance` takes the result.
    """

    def __init__(self, start: Float[np.ndarray, " N"], *, dtype: np.dtype) -> None:
        norm = float(np.linalg.norm(start.astype(np.float64)))
        if not (math.isfinite(norm) and norm > 0):
            raise InputError(f"a start vector must be finite and not zero, got norm {norm}")
        self.norm = norm
        self.stray = 0.0
        self.diagonal: list[float] = []
        self.off_diagonal: list[float] = []
        self._rows = np.empty((8, start.size), dtype=dtype)
        self._rows[0] = start / norm

    @classmethod
    def resume(cls, state: LanczosState) -> "Lanczos":
        """Return the process as it was when the state was taken."""
        process = cls(state.basis[0], dtype=state.basis.dtype)
        process.norm = state.norm
        process.stray = state.stray
        process.diagonal = [float(a) for a in state.diagonal]
        process.off_diagonal = [float(b) for b in state.off_diagonal]
        process._rows = np.array(state.basis)
        return process

    @property
    def state(self) -> LanczosState:
        """A copy of everything that the process needs to go on."""
        return LanczosState(
            basis=self._rows[: self.steps + 1].copy(),
            diagonal=np.array(self.diagonal),
            off_diagonal=np.array(self.off_diagonal),
            norm=self.norm,
            stray=self.stray,
        )

    @property
    def steps(self) -> int:
        """Products with the operator so far."""
        return len(self.diagonal)

    @property
    def direction(self) -> Float[np.ndarray, " N"]:
        """The unit vector to which the operator must be applied next."""
        return self._rows[self.steps]

    @property
    def scale(self) -> float:
        """An upper bound of ||T||, its largest row sum: of what the start vector sees of A."""
        diagonal, off = np.abs(self.diagonal), np.abs(self.off_diagonal)
        before = np.concatenate([[0.0], off[:-1]])
        return float((diagonal + off + before).max(initial=0.0))

    def exhausted(self, magnitude: float) -> bool:
        """Whether the Krylov space is invariant: what is left of a direction is rounding.

        Args:
          magnitude: ||A||, or a bound of it.
        """
        if not self.steps:
            return False
        eps = float(np.finfo(self._rows.dtype).eps)
        full = self.steps >= self._rows.shape[1]
        return full or self.off_diagonal[-1] <= 10 * eps * magnitude

    def advance(self, product: Float[np.ndarray, " N"]) -> None:
        """Take A applied to `direction` and make the next direction."""
        k = self.steps
        if k + 2 > self._rows.shape[0]:
            grown = np.empty((min(2 * (k + 2), k + 66), self._rows.shape[1]), self._rows.dtype)
            grown[: k + 1] = self._rows[: k + 1]
            self._rows = grown
        basis = self._rows[: k + 1]
        rest = product.astype(self._rows.dtype)
        coefficients = basis @ rest
        rest -= coefficients @ basis
        # By symmetry all but the last two are 0: what is there instead is rounding, and the
        # difference of the last but one from the off-diagonal of the step before is too.
        stray = coefficients[:-1].astype(np.float64)
        if k:
            stray[-1] -= self.off_diagonal[-1]
        self.stray = max(self.stray, float(np.linalg.norm(stray)))
        correction = basis @ rest
        rest -= correction @ basis
        off = float(np.linalg.norm(rest.astype(np.float64)))
        self.diagonal.append(float(coefficients[-1]) + float(correction[-1]))
        self.off_diagonal.append(off)
        if off > 0:
            self._rows[k + 1] = rest / off
        else:
            self._rows[k + 1] = 0
