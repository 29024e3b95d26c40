"""Kernel ridge fits: their predictions, norms and leave-one-out predictions from one factor."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from kdtheory.complexity import Factor
from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike


class RidgeFit(NamedTuple):
    """The minimiser f of ||f(X) - Y||^2 + ridge ||f||_H^2; the interpolant where ridge = 0.

    - `coefficients`: a = (K + ridge I)^-1 Y, in the shape of the targets; f(x) = k(x, X) a.
    - `predictions`: f(X) = K a = Y - ridge a, in the shape of the targets.
    - `squared_norm`: ||f||_H^2 = a^T K a; a float, or shape (k,) for a stack.
    """

    coefficients: np.ndarray
    predictions: np.ndarray
    squared_norm: float | np.ndarray


def ridge_fit(factor: Factor, targets: Real[ArrayLike, "..."]) -> RidgeFit:
    """Return the kernel ridge fit of the targets: what the margin bound needs for it.

    The margin bound holds for every function of a ball, so a regularised fit needs its own norm
    and its own margins, and no other theorem:

        fit = ridge_fit(factor, targets)
        margin_bound(margins(fit.predictions, labels), squared_norm=fit.squared_norm, ...)

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


def leave_one_out_predictions(
    factor: Factor, targets: Real[ArrayLike, "..."]
) -> Float[np.ndarray, "..."]:
    """Return, for each example, the prediction of the fit to all others, without refitting.

    Args:
        factor: of a kernel with one output an example.
        targets: shape (n,), (n, 1), or a stack (k, n).

    Returns:
        Predictions in the shape of the targets.

    Raises:
        InputError: several outputs an example (leaving out a row would not leave out an example).

    f_{-i}(x_i) = y_i - a_i / ((K + ridge I)^-1)_ii, exactly, with a = (K + ridge I)^-1 Y.

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
    if values.shape not in ((size,), (size, 1)) and not (
        values.ndim == 2 and values.shape[1] == size
    ):
        raise InputError(
            f"leave-one-out needs one output an example: targets of shape ({size},), ({size}, 1) "
            f"or (k, {size}), got {values.shape}"
        )
    coefficients = factor.solve(targets)
    diagonal = factor.inverse_diagonal()
    column = values.shape == (size, 1)
    return values - coefficients / (diagonal[:, None] if column else diagonal)
