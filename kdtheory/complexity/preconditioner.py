"""A randomised Nystrom preconditioner that keeps certified intervals certified."""

import math
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float, Real

from kdtheory.complexity.kernel_checks import real_array
from kdtheory.complexity.products import Products, column_products, norm_bound
from kdtheory.errors import InputError, KernelError
from kdtheory.typing import ArrayLike


class Preconditioner(NamedTuple):
    """P = U diag(s) U^T + ridge I, a part of K + ridge I from below."""

    basis: np.ndarray
    """U, orthonormal columns, shape (N, r), in the dtype of the kernel's products."""
    eigenvalues: np.ndarray
    """s >= 0, descending, shape (r,)."""
    ridge: float
    """The ridge that it was made for."""
    node: float
    """K + ridge I >= node * P, rounding included; a little below 1."""
    amplification: float
    """||K + ridge I|| / ridge, by which rounding counts more after preconditioning."""

    def root(self, columns: Float[np.ndarray, "N t"]) -> Float[np.ndarray, "N t"]:
        """Return P^-1/2 applied to columns."""
        scale = self.ridge**-0.5
        inside = (self.eigenvalues + self.ridge) ** -0.5 - scale
        kind = self.basis.dtype.type
        columns = columns.astype(self.basis.dtype)
        # (N, t) + (N, r) (r, t): the complement of U keeps the scale of the ridge alone.
        weights = inside.astype(self.basis.dtype)[:, None] * (self.basis.T @ columns)
        return kind(scale) * columns + self.basis @ weights


def nystrom(
    kernel: Real[ArrayLike, "..."] | Products,
    *,
    ridge: float,
    rank: int,
    size: int | None = None,
    seed: int = 0,
    batched: bool = False,
    product_error: float = 8.0,
    largest_eigenvalue: float | None = None,
) -> Preconditioner:
    """Return a preconditioner for `certify` from `rank` products with the kernel.

    Worth its products where the kernel has few large eigenvalues and many targets or a small
    gap are wanted: afterwards the iterations see the condition number
    1 + ||K - U diag(s) U^T|| / ridge instead of ||K|| / ridge.

    Args:
      kernel: as for `certify`.
      ridge: > 0, the one that `certify` is called with.
      rank: r, number of directions, 1..N.
      size: N, needed where `kernel` is a function.
      seed: of the random directions.
      batched: as for `certify`.
      product_error: as for `certify`.
      largest_eigenvalue: as for `certify`.

    Returns:
      A `Preconditioner`.

    Raises:
      InputError: ridge or rank out of range, `size` missing.
      KernelError: a ridge too small for the rounding of the products, a kernel that is zero or
        not positive semidefinite, products that are not finite.

    With random orthonormal Omega and a shift nu above the rounding of K Omega, the Nystrom
    approximation of K + nu I lies below it; taking nu off again leaves
    K + ridge I >= (1 - nu / ridge) P. Source: Frangella, Tropp, Udell 2021, "Randomized Nystrom
    preconditioning", algorithm 2.1.

    >>> P = nystrom(np.diag([100.0, 1.0, 1.0]), ridge=1.0, rank=1)
    >>> P.basis.shape, 0.99 < P.node < 1
    ((3, 1), True)
    """
    if not callable(kernel):
        kernel = real_array("kernel", kernel, KernelError)
        size = len(kernel)
    if size is None:
        raise InputError("size is needed where the kernel is a function")
    if not (np.isfinite(ridge) and ridge > 0):
        raise InputError(f"a preconditioner needs a finite ridge > 0, got {ridge}")
    if not 1 <= rank <= size:
        raise InputError(f"rank must be 1..{size}, got {rank}")
    apply = column_products(kernel, batched=batched)
    directions = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, rank)))[0]
    images = apply(directions)
    if images.shape != directions.shape or not np.isfinite(images).all():
        raise KernelError(
            f"product of the kernel with {directions.shape} directions must be finite and of that "
            f"shape, got shape {images.shape}"
        )
    dtype, eps = images.dtype, float(np.finfo(images.dtype).eps)
    images = images.astype(np.float64)
    norm = norm_bound(kernel, apply, size, known=largest_eigenvalue)
    shift = 2 * (product_error + 4) * eps * math.sqrt(rank) * norm
    if 6 * shift > ridge:
        raise KernelError(
            f"rounding of {dtype.name} products is too large for a preconditioner at ridge "
            f"{ridge:.2g}: give ridge >= {6.1 * shift:.2g}, products of higher precision, or none"
        )
    images += shift * directions
    core = directions.T @ images
    try:
        root = scipy.linalg.cholesky((core + core.T) / 2, lower=True)
    except scipy.linalg.LinAlgError:
        raise KernelError(
            "kernel is zero or not positive semidefinite on random directions: check how its "
            "products are computed; a zero kernel needs no preconditioner"
        ) from None
    factor = scipy.linalg.solve_triangular(root, images.T, lower=True).T
    basis, singular, _ = np.linalg.svd(factor, full_matrices=False)
    # nu for the shift itself, and twice as much for rounding: of the products, and of U's storage.
    return Preconditioner(
        basis=basis.astype(dtype),
        eigenvalues=np.maximum(singular**2 - shift, 0.0),
        ridge=float(ridge),
        node=1 - 3 * shift / ridge,
        amplification=1 + norm / ridge,
    )
