"""Which of many supervisions to learn from, by the errors of their kernel fits on the labels."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Float, Int, Real

from kdtheory.bounds.arguments import class_gaps
from kdtheory.bounds.ridge import leave_one_out_predictions
from kdtheory.complexity import Factor
from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike

#: Numbers of (outputs of supervisions, examples) that are solved for together: 80 MB.
_TOGETHER = 10_000_000

_NORMAL_95 = 1.959963984540054


class RankedSupervisions(NamedTuple):
    """What one factorised kernel says of c supervisions; arrays have their order, shape (c,)."""

    order: Int[np.ndarray, " c"]
    """Indices from the fewest prequential errors to the most; of equals the fewest leave-one-out
    errors, then the first."""
    error: Float[np.ndarray, " c"]
    """Share of the scored examples whose label the fit to the targets before them misses."""
    low: Float[np.ndarray, " c"]
    """Ends of Wilson's 95 % interval of that error."""
    high: Float[np.ndarray, " c"]
    behind: Float[np.ndarray, " c"]
    """Error less that of the first in the order, on the same examples."""
    behind_low: Float[np.ndarray, " c"]
    """Ends of a 95 % interval of that difference, normal, from its paired deviation. The first was
    chosen for its error: the intervals do not know that."""
    behind_high: Float[np.ndarray, " c"]
    leave_one_out: Float[np.ndarray, " c"]
    """Share of all examples whose label the fit to the targets of all others misses."""
    complexity: Float[np.ndarray, " c"]
    """Adjusted complexity (1/n) sqrt(C Tr K) of the targets at the smallest ridge."""
    num_scored: int
    """Examples that are scored: the end of the sequence."""

    @property
    def level(self) -> np.ndarray:
        """Which supervisions the data do not tell from the first, (c,) bool."""
        return self.behind_low <= 0


def rank_supervisions(
    factors: Sequence[Factor],
    targets: Real[ArrayLike, "c n d"],
    labels: Int[ArrayLike, " n"],
    *,
    scored: float = 0.5,
) -> RankedSupervisions:
    """Return how well the kernel's fits to each supervision's targets predict the labels.

    Args:
      factors: `complexity.factorize(kernel, ridge=...)` of one kernel of n rows, several ridges.
      targets: of each supervision, (c, n, d), d = 1 for two classes; every output has the kernel.
      labels: class indices (n,): what is predicted, whatever is fitted.
      scored: share of the examples, the end of the sequence, whose errors count: the fits to few
        examples say little of a student that sees all.

    Returns:
      A `RankedSupervisions`.

    Raises:
      InputError: no factor, targets or labels that do not fit, a share outside (0, 1].

    With K + ridge I = L L^T and z = L^-1 Y, f_{i-1}(x_i) = y_i - L_ii z_i: example i predicted by
    the fit to the targets before it. One factor of n^3 / 3 operations serves all supervisions, each
    of which costs n^2 an output. The ridge is for each example that of the fewest errors before it.
    Where the kernel did not see the examples, and the teacher neither, the mean of these errors is
    an unbiased estimate of the mean risk of the fits; a teacher that was trained on the examples
    makes it an estimate for a student that is taught on them.

    Source: `complexity.prequential_fit`; Dawid 1984 for prequential.

    >>> from kdtheory.complexity import factorize
    >>> x = np.random.default_rng(0).uniform(-1, 1, size=(200, 1))
    >>> labels = (x[:, 0] > 0).astype(int)
    >>> factors = [factorize(1 + x @ x.T, ridge=ridge) for ridge in (0.1, 1.0)]
    >>> y = 2.0 * labels[:, None] - 1
    >>> found = rank_supervisions(factors, np.stack([-y, y]), labels)
    >>> found.order.tolist(), found.error.round(2).tolist(), found.level.tolist()
    ([1, 0], [1.0, 0.0], [False, True])
    """
    y = np.asarray(targets, np.float64)
    truth = np.asarray(labels)
    if not factors:
        raise InputError("needs at least one factor")
    n = factors[0].size
    if y.ndim != 3 or y.shape[1] != n or truth.shape != (n,) or 0 in y.shape:
        raise InputError(
            f"targets must have shape (supervisions, {n}, outputs), labels ({n},), got {y.shape} "
            f"and {truth.shape}"
        )
    if not 0 < scored <= 1:
        raise InputError(f"scored must be in (0, 1], got {scored}")
    wrong = np.empty((len(factors), len(y), n), dtype=bool)
    left_out = np.empty((len(factors), len(y)))
    adjusted = np.empty((len(factors), len(y)))
    together = max(1, _TOGETHER // (n * y.shape[2]))
    for row, factor in enumerate(factors):
        for first in range(0, len(y), together):
            some = slice(first, first + together)
            found = _errors(factor, y[some], truth)
            wrong[row, some], left_out[row, some], adjusted[row, some] = found
    losses = _by_the_past(wrong)[:, n - max(1, math.ceil(scored * n)) :]
    error = losses.mean(axis=1)
    order = np.lexsort((left_out.min(axis=0), error))
    low, high = _wilson(losses.sum(axis=1), losses.shape[1])
    difference = losses.astype(np.float64) - losses[order[0]]
    behind = difference.mean(axis=1)
    spread = _NORMAL_95 * difference.std(axis=1) / math.sqrt(losses.shape[1])
    smallest = int(np.argmin([factor.ridge for factor in factors]))
    return RankedSupervisions(
        order=order,
        error=error,
        low=low,
        high=high,
        behind=behind,
        behind_low=behind - spread,
        behind_high=behind + spread,
        leave_one_out=left_out.min(axis=0),
        complexity=adjusted[smallest],
        num_scored=losses.shape[1],
    )


def _errors(
    factor: Factor, y: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return prequential errors (c, n), shares of leave-one-out errors and complexities (c,)."""
    c, n, d = y.shape
    stack = np.ascontiguousarray(y.transpose(0, 2, 1)).reshape(c * d, n)
    half = np.atleast_2d(factor.half_solve(stack))
    predictions = stack - factor.pivots * half
    left_out = np.atleast_2d(leave_one_out_predictions(factor, stack))
    complexity = (half.reshape(c, -1) ** 2).sum(axis=1)
    adjusted = np.sqrt(complexity * factor.trace * d) / n
    return (
        _missed(predictions, labels, y.shape),
        _missed(left_out, labels, y.shape).mean(axis=1),
        adjusted,
    )


def _missed(predictions: np.ndarray, labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return which predictions (c d, n) miss their label, ties counted, shape (c, n)."""
    c, n, d = shape
    rows = predictions.reshape(c, d, n).transpose(0, 2, 1).reshape(c * n, d)
    return (class_gaps(rows, np.tile(labels, c)).min(axis=1) <= 0).reshape(c, n)


def _by_the_past(wrong: np.ndarray) -> np.ndarray:
    """Return errors (c, n): each example's at the ridge with the fewest errors before it."""
    before = np.cumsum(wrong, axis=2) - wrong
    return np.take_along_axis(wrong, before.argmin(axis=0)[None], axis=0)[0]


def _wilson(errors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    ends = [
        scipy.stats.binomtest(int(k), count).proportion_ci(0.95, method="wilson") for k in errors
    ]
    return np.array([end.low for end in ends]), np.array([end.high for end in ends])
