"""Certified complexity of a dense kernel: float32 factorisation, float64 residual."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real
from scipy.linalg import blas, lapack

from kdtheory.complexity.intervals import Bounds, OnProduct, Stopped
from kdtheory.complexity.kernel_checks import checked_copy, real_array
from kdtheory.errors import KernelError
from kdtheory.typing import ArrayLike

#: Diagonal shifts of the float32 factor that are tried, in units of eps times its Frobenius norm.
_SHIFTS = (0.0, 1.0, 10.0, 100.0)


def bound_mixed(
    kernel: Real[ArrayLike, "N N"],
    columns: Float[np.ndarray, "N k"],
    *,
    ridge: float,
    node: float,
    gap: float,
    limit: int,
    product_error: float,
    on_product: OnProduct,
) -> list[Bounds] | None:
    """Bound Y^T (K + ridge I)^-1 Y for each column Y; None where there is no float32 factor.

    With A = K + ridge I >= node I:
    Conjugate gradients in float64, preconditioned by the float32 Cholesky factor of A (half the
    time of a float64 one), or of A + shift where A itself has none. For any z, with r = Y - A z,

        2 Y^T z - z^T A z  <=  Y^T A^-1 Y  =  2 Y^T z - z^T A z + r^T A^-1 r
                                           <=  2 Y^T z - z^T A z + ||r||^2 / node,

    so the float32 rounding costs iterations and never the bound. The gap is quadratic in the
    residual; a condition number of 1e6 takes two to four products.

    Rounding: the residual, updated along the iteration, is off by at most
    product_error eps ||A||_F sum ||step||, and its part of the bounds is widened by that.

    Args:
      kernel: K, symmetric.
      columns: targets, float64.
      ridge: added to K.
      node: > 0.
      gap: relative.
      limit: products with K for each column.
      product_error: in eps of float64.
      on_product: called with (set, products, lower, upper).

    Raises:
      KernelError: not square, not finite, not symmetric; a Rayleigh quotient of A below the node
        by more than rounding.
    """
    operator = _operator(kernel, ridge=ridge)
    solve = _float32_solver(operator)
    if solve is None:
        return None
    eps = float(np.finfo(np.float64).eps)
    unit = product_error * eps * operator.norm + operator.asymmetry
    count = columns.shape[1]
    norms = np.linalg.norm(columns, axis=0)
    z, residual = np.zeros_like(columns), columns.copy(order="F")
    direction, slope = np.zeros_like(columns), np.ones(count)
    travelled = np.zeros(count)
    bounds = [Bounds(0.0, 0.0 if norm == 0 else math.inf, 0.0, "gap", 0) for norm in norms]
    live = np.flatnonzero(norms > 0)
    products = 0
    while live.size:
        preconditioned = solve(residual[:, live])
        fresh = np.einsum("ij,ij->j", residual[:, live], preconditioned)
        keep = fresh / slope[live] if products else np.zeros(live.size)
        direction[:, live] = preconditioned + keep * direction[:, live]
        slope[live] = fresh
        image = operator.product(direction[:, live])
        products += 1
        curvature = np.einsum("ij,ij->j", direction[:, live], image)
        lengths = np.linalg.norm(direction[:, live], axis=0)
        if np.any(curvature < (node - 2 * unit) * lengths**2):
            raise KernelError(
                "a Rayleigh quotient of the kernel is below ridge + smallest_eigenvalue = "
                f"{node:.3g} by more than its rounding {2 * unit:.3g}: the kernel is not positive "
                "semidefinite, or smallest_eigenvalue is too large"
            )
        step = fresh / curvature
        z[:, live] += step * direction[:, live]
        residual[:, live] -= step * image
        travelled[live] += np.abs(step) * lengths
        still = []
        for index in live:
            error = unit * travelled[index]
            lower, upper = _interval(
                columns[:, index], z[:, index], residual[:, index], node=node, error=error
            )
            before = bounds[index]
            lower, upper = max(lower, before.lower), min(upper, before.upper)
            stopped: Stopped | None = None
            if upper - lower <= gap * lower:
                stopped = "gap"
            elif float(np.linalg.norm(residual[:, index])) <= error:
                stopped = "rounding"
            elif products >= limit:
                stopped = "max_products"
            else:
                still.append(index)
            bounds[index] = Bounds(lower, upper, unit, stopped or "gap", products)
            on_product(int(index), products, lower, upper)
        live = np.array(still, dtype=int)
    return bounds


def _interval(
    y: np.ndarray, z: np.ndarray, residual: np.ndarray, *, node: float, error: float
) -> tuple[float, float]:
    """Return the bounds from z and its residual, known up to `error` in norm."""
    length = float(np.linalg.norm(z))
    value = float(y @ z) + float(residual @ z)
    # The sums themselves, and the residual's error along z.
    size = y.size * float(np.finfo(np.float64).eps)
    total = float(np.linalg.norm(y)) + float(np.linalg.norm(residual))
    slack = (error + size * total) * length
    rest = (float(np.linalg.norm(residual)) * (1 + size) + error) ** 2 / node
    return max(value - slack, 0.0), (value + slack + rest) * (1 + size)


class _Operator(NamedTuple):
    """A = K + ridge I in float64; `norm` bounds ||A||_F, `asymmetry` ||K - K^T||_F / 2."""

    matrix: np.ndarray
    ridge: float
    norm: float
    asymmetry: float

    def product(self, columns: Float[np.ndarray, "N k"]) -> Float[np.ndarray, "N k"]:
        """Return A times columns."""
        if columns.shape[1] == 1:
            # As a vector: BLAS is twice as fast at that as at an (N, 1) matrix.
            image = (self.matrix @ columns[:, 0])[:, None]
        else:
            image = self.matrix @ columns
        return image + self.ridge * columns


def _operator(kernel: ArrayLike, *, ridge: float) -> _Operator:
    """Check the kernel by two random products; where they show anything, by every entry."""
    matrix = real_array("kernel", kernel, KernelError)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and matrix.size > 0
    if square:
        matrix = matrix.astype(np.float64, copy=False)
        size = len(matrix)
        with np.errstate(over="ignore"):  # `checked_copy` has the word for what overflows
            norm = float(np.linalg.norm(matrix))
        if math.isfinite(norm):
            # E ||E s||^2 = ||E||_F^2 for random signs s; four times as much for bad luck.
            signs = np.random.default_rng(0).integers(0, 2, size=(size, 2)) * 2.0 - 1.0
            difference = matrix @ signs - (signs.T @ matrix).T
            asymmetry = 2 * float(np.linalg.norm(difference, axis=0).max())
            rounding = 8 * float(np.finfo(np.float64).eps) * math.sqrt(size) * norm
            if asymmetry <= 4 * rounding:
                return _Operator(
                    matrix,
                    ridge,
                    norm + ridge * math.sqrt(size),
                    asymmetry if asymmetry > rounding else 0.0,
                )
    matrix = checked_copy(kernel, dtype=np.dtype(np.float64))
    norm = float(np.linalg.norm(matrix)) + ridge * math.sqrt(len(matrix))
    return _Operator(matrix, ridge, norm, 0.0)


def _float32_solver(operator: _Operator) -> "_Solver | None":
    """Return the solver by the float32 Cholesky factor of A + shift, for the first that has one."""
    matrix = operator.matrix
    size = len(matrix)
    scale = float(matrix.diagonal().mean()) + operator.ridge
    if not scale > 0:
        return None
    for shift in _SHIFTS:
        packed = np.empty((size, size), np.float32, order="F")
        np.multiply(matrix, 1 / scale, out=packed.T, casting="same_kind")
        added = operator.ridge + shift * float(np.finfo(np.float32).eps) * operator.norm
        np.einsum("ii->i", packed)[:] += added / scale
        factor, failed = lapack.spotrf(packed, lower=1, clean=0, overwrite_a=1)
        if not failed and np.isfinite(factor.diagonal()).all():
            return _Solver(factor)
    return None


class _Solver:
    """Columns -> (A + shift)^-1 of them in float32, up to one positive factor."""

    def __init__(self, factor: np.ndarray) -> None:
        self._factor = factor

    def __call__(self, columns: Float[np.ndarray, "N k"]) -> Float[np.ndarray, "N k"]:
        # Units of length: small residuals would underflow.
        lengths = np.linalg.norm(columns, axis=0)
        lengths = np.where(lengths > 0, lengths, 1.0)
        right = np.asfortranarray((columns / lengths).astype(np.float32))
        if columns.shape[1] == 1:
            half = blas.strsv(self._factor, right[:, 0], lower=1)
            solved = blas.strsv(self._factor, half, lower=1, trans=1)[:, None]
        else:
            solved, _ = lapack.spotrs(self._factor, right, lower=1)
        return solved.astype(np.float64) * lengths
