"""Kernel ridge fits: their predictions, norms and leave-one-out predictions from one factor."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

from kdtheory.bounds.arguments import class_gaps
from kdtheory.bounds.margin import MarginBound, margin_bound, multiclass_margin_bound
from kdtheory.complexity import Factor
from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike


class RidgeFit(NamedTuple):
    """The minimiser f of ||f(X) - Y||^2 + ridge ||f||_H^2; the interpolant where ridge = 0."""

    coefficients: np.ndarray
    """a = (K + ridge I)^-1 Y, in the shape of the targets; f(x) = k(x, X) a."""
    predictions: np.ndarray
    """F(X) = K a = Y - ridge a, in the shape of the targets."""
    squared_norm: float | np.ndarray
    """||f||_H^2 = a^T K a; a float, or shape (k,) for a stack."""


def ridge_fit(factor: Factor, targets: Real[ArrayLike, "..."]) -> RidgeFit:
    """Return the kernel ridge fit of the targets: what the margin bound needs for it.

    The margin bound holds for every function of a ball, so a regularised fit needs its own norm
    and its own margins, and no other theorem: see `ridge_margin_bound`.

    Args:
      factor: `complexity.factorize(gram, ridge=...)`.
      targets: as for `Factor.complexity`.

    Returns:
      A `RidgeFit`.

    Raises:
      InputError: targets of another length, or not finite.

    ||f||_H^2 = Y^T (K + ridge I)^-1 K (K + ridge I)^-1 Y = C - ridge ||a||^2, with
    C = Y^T (K + ridge I)^-1 Y: smaller than C, which is smaller than the interpolant's Y^T K^-1 Y.
    Source: Bartlett and Mendelson 2002 for the ball; the identity is the normal equation.

    >>> from kdtheory.complexity import factorize
    >>> fit = ridge_fit(factorize(np.diag([1.0, 3.0]), ridge=1.0), np.array([2.0, 4.0]))
    >>> fit.predictions, round(fit.squared_norm, 12)
    (array([1., 3.]), 4.0)
    """
    coefficients = factor.solve(targets)
    complexity = factor.complexity(targets).complexity
    values = np.asarray(targets, dtype=coefficients.dtype)
    flat = coefficients.reshape(np.size(complexity), -1)
    square = np.einsum("ij,ij->i", flat, flat).reshape(np.shape(complexity))
    # Rounding can leave -1e-16 where targets and ridge leave a norm of 0.
    norm = np.maximum(complexity - factor.ridge * square, 0.0)
    return RidgeFit(
        coefficients=coefficients,
        predictions=values - factor.ridge * coefficients,
        squared_norm=norm if np.ndim(complexity) else float(norm),
    )


def ridge_margin_bound(
    factor: Factor,
    targets: Real[ArrayLike, "..."],
    labels: Int[ArrayLike, " n"],
    *,
    gamma: float | ArrayLike,
    kernel_depends_on_sample: bool,
    delta: float = 0.05,
    radius_unit: float = 1.0,
) -> MarginBound:
    """Bound the risk of the kernel ridge fit of the targets, by its own norm and margins.

    Args:
      factor: `complexity.factorize(gram, ridge=...)`; ridge 0 is the interpolant.
      targets: (n,) or (n, 1) for two classes and one output, (n, d) for d classes.
      labels: class indices, shape (n,): the true ones, or a teacher's decisions.
      gamma: as for `margin_bound`.
      kernel_depends_on_sample: as for `margin_bound`.
      delta: as for `margin_bound`.
      radius_unit: as for `margin_bound`.

    Returns:
      A `MarginBound`: `margin_bound` for one output, and the vector contraction form of
      `multiclass_margin_bound` for several.

    Raises:
      InputError: targets or labels that do not fit, values out of range.

    Statement: that of the margin bound, with B^2 >= ||f||_H^2 = Y^T G K G Y, G = (K + ridge I)^-1,
    and the margins of f(X) = Y - ridge G Y.

    Proof idea: (1) the margin bound holds for all functions of a ball at once, so for this one;
    (2) ||f||_H^2 = C - ridge ||G Y||^2 falls as the ridge grows, from the interpolant's Y^T K^-1 Y;
    (3) its margins fall as well: which of the two wins is what the bound shows. The ridge may be
    chosen from the sample: nothing in the bound depends on how f was found.

    Source: Bartlett and Mendelson 2002; Maurer 2016 for several outputs.

    >>> from kdtheory.complexity import factorize
    >>> factor = factorize(np.eye(4), ridge=1.0)
    >>> labels = np.array([1, 0, 1, 0])
    >>> terms = ridge_margin_bound(factor, 2.0 * labels - 1, labels, gamma=0.4,
    ...                            kernel_depends_on_sample=False)
    >>> terms.margin_loss, terms.radius, terms.complexity_term  # f = Y / 2, ||f||_H = 1
    (0.0, 1.0, 2.5)
    """
    fit = ridge_fit(factor, targets)
    gaps = class_gaps(fit.predictions, labels)
    several = fit.predictions.ndim == 2 and fit.predictions.shape[1] > 1
    bound = multiclass_margin_bound if several else margin_bound
    return bound(
        gaps.min(axis=1),
        squared_norm=float(fit.squared_norm),
        trace=factor.trace,
        gamma=gamma,
        kernel_depends_on_sample=kernel_depends_on_sample,
        delta=delta,
        radius_unit=radius_unit,
    )


def leave_one_out_predictions(
    factor: Factor, targets: Real[ArrayLike, "..."]
) -> Float[np.ndarray, "..."]:
    """Return, for each example, the prediction of the fit to all others, without refitting.

    Args:
      factor: of the kernel of n examples and d outputs.
      targets: shape (n,), (n, 1), or a stack (k, n), where d = 1; (n, d) where d > 1.

    Returns:
      Predictions in the shape of the targets.

    Raises:
      InputError: targets that do not fit.

    f_{-i}(x_i) = y_i - (G_ii)^-1 a_i, exactly, with G = (K + ridge I)^-1, a = G Y, and G_ii the
    (d, d) block of example i. For d > 1 all of G is computed, a few examples at a time.

    The share of them on the wrong side is an unbiased estimate of the expected risk of the same
    fit to n - 1 examples. It is an estimate, not a bound: its deviation is not certified here.
    Source: Luntz and Brailovsky 1969 (unbiased); Wahba 1990 (the identity).

    >>> from kdtheory.complexity import factorize
    >>> factor = factorize(np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> leave_one_out_predictions(factor, np.array([1.0, 3.0]))  # k(x_i, x_j) / k(x_j, x_j) y_j
    array([1.5, 0.5])
    """
    values = np.asarray(targets)
    size = factor.size
    single = values.shape in ((size,), (size, 1)) or (values.ndim == 2 and values.shape[1] == size)
    if not single and (values.ndim != 2 or values.size != size):
        raise InputError(
            f"leave-one-out needs targets of shape ({size},), ({size}, 1), (k, {size}), or (n, d) "
            f"with n d = {size}, got {values.shape}"
        )
    coefficients = factor.solve(targets)
    if single:
        diagonal = factor.inverse_diagonal()
        column = values.shape == (size, 1)
        return values - coefficients / (diagonal[:, None] if column else diagonal)
    changes = np.linalg.solve(_inverse_blocks(factor, values.shape[1]), coefficients[..., None])
    return values - changes[..., 0]


def _inverse_blocks(factor: Factor, d: int) -> np.ndarray:
    """Blocks of (K + ridge I)^-1 on the diagonal, shape (n, d, d)."""
    n = factor.size // d
    together = max(1, 512 // d)
    blocks = np.empty((n, d, d))
    for first in range(0, n, together):
        rows = np.arange(first * d, min(first + together, n) * d)
        units = np.zeros((rows.size, factor.size))
        units[np.arange(rows.size), rows] = 1.0
        solved = factor.solve(units)[:, rows].reshape(rows.size // d, d, -1, d)
        blocks[first : first + together] = np.einsum("iaib->iab", solved)
    return blocks
