"""Complexity read as prediction: each example predicted by the ridge fit to those before it.

With K + ridge I = L L^T and z = L^-1 Y, z_i = (y_i - f_{i-1}(x_i)) / L_ii, where f_{i-1} is the
kernel ridge fit to the first i - 1 examples and L_ii^2 = ridge + its predictive variance at x_i. So

    Y^T (K + ridge I)^-1 Y = sum_i (y_i - f_{i-1}(x_i))^2 / L_ii^2:

supervision complexity is the kernel learner's cumulative, normalised loss, in any order.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float, Real
from numpy.typing import DTypeLike

from kdtheory.arguments import as_array
from kdtheory.complexity.exact import Factor
from kdtheory.complexity.kernel_checks import real_array
from kdtheory.complexity.stacks import stack_targets
from kdtheory.errors import InputError, KernelError
from kdtheory.typing import AnyArray, ArrayLike


class PrequentialFit(NamedTuple):
    """What the fit to the examples before each one says of it, in the order of the examples."""

    predictions: np.ndarray
    """f_{i-1}(x_i), float64, in the shape of the targets; the first are 0."""
    complexity: float
    """Y^T (K + ridge I)^-1 Y, summed over outputs; the sum of `losses`."""
    losses: np.ndarray
    """(y_i - f_{i-1}(x_i))^2 / variance_i, summed over outputs, shape (n,)."""
    variance: np.ndarray
    """L_ii^2, ridge + predictive variance, shape (n,); of d outputs that depend on each other the
    largest eigenvalue of the block.
    """
    ridge: float
    """Of every fit."""


def prequential_fit(factor: Factor, targets: AnyArray) -> PrequentialFit:
    """Return every example's prediction by the fit to the examples before it, from one factor.

    Args:
      factor: `factorize(gram, ridge=...)`, its rows in the order of the examples.
      targets: (n,) or (n, 1) for a kernel of n rows; (n, d) for one of n rows, which then serves
        every output, or of n d rows, example-major.

    Raises:
      InputError: targets that do not fit, or are not finite.

    Costs one triangular solve: n^2 operations an output. An example's own targets have no part in
    its predictions, of whichever output: for n d rows they are y_i - L_ii z_i with L_ii the (d, d)
    block. Source: the chain rule of the Cholesky factor; Dawid 1984 for "prequential".

    >>> from kdtheory.complexity import factorize
    >>> fit = prequential_fit(factorize(np.array([[1.0, 0.5], [0.5, 1.0]])), np.array([2.0, 3.0]))
    >>> fit.predictions.round(9), round(fit.complexity, 9)  # 0.5 / 1 times 2; 4 + 2^2 / 0.75
    (array([0., 1.]), 9.333333333)
    """
    values = as_array("targets", targets)
    size = factor.size
    shared = values.ndim == 2 and values.shape[0] == size and values.shape[1] > 1
    whole = values.ndim in (1, 2) and values.size == size and values.shape[0] >= 1
    if not (shared or whole) or (values.ndim == 2 and values.shape == (1, size) and size > 1):
        raise InputError(
            f"prequential predictions need targets of shape (n,) or (n, d), a row an example, with "
            f"n or n d = {size}, got {values.shape}"
        )
    half = factor.half_solve(values.T if shared else values.reshape(-1))
    if shared or values.shape in ((size,), (size, 1)):
        columns = half.T if shared else half[:, None]
        deviation = factor.pivots[:, None]
        predictions = values.reshape(columns.shape) - deviation * columns
        variance = factor.pivots**2
    else:
        d = values.shape[1]
        columns = half.reshape(-1, d)
        blocks = factor.pivot_blocks(d)
        predictions = values - np.einsum("iab,ib->ia", blocks, columns)
        variance = np.linalg.norm(blocks, ord=2, axis=(1, 2)) ** 2
    losses = (columns**2).sum(axis=1)
    return PrequentialFit(
        predictions=predictions.reshape(values.shape).astype(np.float64),
        complexity=float(losses.sum()),
        losses=losses,
        variance=variance,
        ridge=factor.ridge,
    )


def prequential_fit_of_features(
    features: Real[ArrayLike, "n p"],
    targets: AnyArray,
    *,
    ridge: float,
    block: int = 1024,
) -> PrequentialFit:
    """Return what `prequential_fit` does for K = features features^T, which is never formed.

    Args:
      features: one row an example, in the order of the examples, shape (n, p).
      targets: (n,) or (n, d).
      ridge: > 0, absolute.
      block: rows taken together.

    Raises:
      InputError: shapes that do not fit, a ridge that is not > 0.

    Memory beside the features: p^2 + b p + b^2 numbers of 8 bytes, b = `block`; at p = 4,096 some
    180 MB for any n. Operations: n p^2 for the sums, and for each of the n / b blocks p^3 / 3 for a
    factor, p^2 b and p b^2 for its examples.

    With A = ridge I + sum of phi phi^T over earlier blocks, the kernel of a block given them is
    ridge Phi A^-1 Phi^T, and its mean Phi A^-1 Phi_earlier^T Y_earlier; within the block goes the
    Cholesky factor.

    >>> fit = prequential_fit_of_features(np.array([[1.0], [2.0]]), np.array([1.0, 1.0]), ridge=1.0)
    >>> fit.predictions  # 2 * 1 * 1 / (1 + 1)
    array([0., 1.])
    """
    phi = real_array("features", features, InputError)
    if phi.ndim != 2 or 0 in phi.shape:
        raise InputError(f"features must have shape (n, p), got {phi.shape}")
    _check_block(ridge, block)
    y = _columns(targets, len(phi))
    p = phi.shape[1]
    gram, moments = ridge * np.eye(p), np.zeros((p, y.shape[1]))
    half, deviation, mean = _empty(y)
    for first in range(0, len(phi), block):
        rows = slice(first, first + block)
        part = phi[rows].astype(np.float64)
        root = scipy.linalg.cholesky(gram, lower=True)
        white = scipy.linalg.solve_triangular(root, part.T, lower=True)
        given = scipy.linalg.solve_triangular(root, moments, lower=True)
        mean[rows] = white.T @ given
        inner = ridge * (white.T @ white)
        np.einsum("ii->i", inner)[:] += ridge
        factor = scipy.linalg.cholesky(inner, lower=True)
        deviation[rows] = factor.diagonal()
        half[rows] = scipy.linalg.solve_triangular(factor, y[rows] - mean[rows], lower=True)
        gram += part.T @ part
        moments += part.T @ y[rows]
    return _collect(targets, y, half, deviation, ridge)


def prequential_fit_of_rows(
    rows: Callable[[int, int], ArrayLike],
    targets: AnyArray,
    *,
    ridge: float,
    block: int = 1024,
    dtype: DTypeLike = np.float32,
) -> PrequentialFit:
    """Return what `prequential_fit` does for a kernel that is given a few rows at a time.

    Args:
      rows: (i, j) -> K[i:j, :j], rows i to j as far as the diagonal: shape (j - i, j).
      targets: (n,) or (n, d); one kernel for all outputs.
      ridge: > 0, absolute.
      block: rows asked for together.
      dtype: that the factor is kept in; the sums of each block are in float64.

    Raises:
      InputError: shapes that do not fit, a ridge that is not > 0.
      KernelError: rows that are not finite or of another shape; a kernel that is not positive
        semidefinite, or a ridge too small for `dtype`.

    Memory: n^2 / 2 numbers of `dtype` for the factor (5 GB in float32 at n = 50,000), and 3 b n of
    8 bytes; the kernel itself is never held. n^3 / 3 operations. A left-looking blocked Cholesky.

    >>> K = np.array([[1.0, 0.5], [0.5, 1.0]])
    >>> fit = prequential_fit_of_rows(lambda i, j: K[i:j, :j], np.array([2.0, 3.0]), ridge=1.0)
    >>> fit.predictions.round(9)
    array([0. , 0.5])
    """
    size = len(as_array("targets", targets))
    _check_block(ridge, block)
    y = _columns(targets, size)
    half, deviation, _ = _empty(y)
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for first in range(0, size, block):
        last = min(first + block, size)
        part = real_array("rows of the kernel", rows(first, last), KernelError).astype(np.float64)
        if part.shape != (last - first, last) or not np.isfinite(part).all():
            raise KernelError(
                f"rows {first} to {last} of the kernel must be finite, of shape "
                f"({last - first}, {last}), got {part.shape}"
            )
        # Forward substitution against what is kept: L[i] = K[i, :first] L[:first, :first]^-T.
        for index, (below, corner) in enumerate(kept):
            columns = slice(index * block, index * block + len(corner))
            known = part[:, : columns.start] @ below[:, : columns.start].T.astype(np.float64)
            part[:, columns] = scipy.linalg.solve_triangular(
                corner, (part[:, columns] - known).T, lower=True
            ).T
        inner = part[:, first:] - part[:, :first] @ part[:, :first].T
        np.einsum("ii->i", inner)[:] += ridge
        try:
            factor = scipy.linalg.cholesky(inner, lower=True)
        except scipy.linalg.LinAlgError:
            raise KernelError(
                f"K + ridge I has no Cholesky factor at rows {first} to {last}: the kernel is not "
                f"positive semidefinite, or ridge {ridge:.3g} is below its rounding; give a larger "
                "ridge, or dtype=np.float64"
            ) from None
        kept.append((part[:, :first].astype(dtype), factor))
        mean = part[:, :first] @ half[:first]
        deviation[first:last] = factor.diagonal()
        half[first:last] = scipy.linalg.solve_triangular(factor, y[first:last] - mean, lower=True)
    return _collect(targets, y, half, deviation, ridge)


def _check_block(ridge: float, block: int) -> None:
    if not (math.isfinite(ridge) and ridge > 0 and block >= 1):
        raise InputError(f"needs a finite ridge > 0 and block >= 1, got {ridge} and {block}")


def _columns(targets: AnyArray, size: int) -> Float[np.ndarray, "n d"]:
    """Return targets of shape (n,) or (n, d), checked, as (n, d)."""
    values = as_array("targets", targets)
    if values.ndim not in (1, 2) or len(values) != size or values.size == 0:
        raise InputError(f"targets must have shape ({size},) or ({size}, d), got {values.shape}")
    flat = values.reshape(size, -1)
    return np.ascontiguousarray(stack_targets(flat.T, size=size).columns)


def _empty(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.empty_like(y), np.empty(len(y)), np.empty_like(y)


def _collect(
    targets: AnyArray, y: np.ndarray, half: np.ndarray, deviation: np.ndarray, ridge: float
) -> PrequentialFit:
    losses = (half**2).sum(axis=1)
    return PrequentialFit(
        predictions=(y - deviation[:, None] * half).reshape(np.shape(targets)),
        complexity=float(losses.sum()),
        losses=losses,
        variance=deviation**2,
        ridge=float(ridge),
    )
