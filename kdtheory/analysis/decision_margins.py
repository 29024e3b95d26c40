"""Margins of predictions: how far each is on the right side of the decision boundary."""

import numpy as np
from jaxtyping import Float, Int, Real

from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike


def margins(
    logits: Real[ArrayLike, "n *d"], labels: Int[ArrayLike, " n"]
) -> Float[np.ndarray, " n"]:
    """Return each example's margin; positive where the decision is the label.

    Args:
      logits: shape (n, d) with d >= 2, or (n,) or (n, 1) for a binary task with one logit.
      labels: class indices, 0..d-1; 0 or 1 with one logit.

    Returns:
      Unreduced margins, float64, shape (n,), in the unit of the logits:

      - one logit: y f, with y = +1 for class 1 and -1 for class 0;
      - several: rho = f_y - max over y' != y of f_y'.

    Raises:
      InputError: another shape, logits that are not finite, labels out of range.

    These are the margins of the classification bounds (paper; Maurer 2016 for the
    multiclass one, which is sqrt(2)-Lipschitz in the logits). With two logits rho is the binary
    margin of their difference.

    >>> margins(np.array([2.0, -3.0, 0.5]), np.array([1, 0, 0]))
    array([ 2. ,  3. , -0.5])
    >>> margins(np.array([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]]), np.array([0, 2]))
    array([ 1., -2.])
    """
    scores = logit_matrix(logits)
    n, d = scores.shape
    index = np.asarray(labels)
    if index.shape != (n,):
        raise InputError(f"labels must have shape ({n},) like the logits, got {index.shape}")
    classes = max(d, 2)
    if n and (index.min() < 0 or index.max() >= classes):
        raise InputError(
            f"labels must be class indices 0..{classes - 1}, got {index.min()}..{index.max()}"
        )
    if d == 1:
        return np.where(index == 1, 1.0, -1.0) * scores[:, 0]
    rows = np.arange(n)
    own = scores[rows, index]
    others = scores.copy()
    others[rows, index] = -np.inf
    return own - others.max(axis=1)


def logit_matrix(logits: Real[ArrayLike, "..."]) -> Float[np.ndarray, "n d"]:
    """Return logits of shape (n,) or (n, d) as float64 of shape (n, d), after checking them.

    Raises:
      InputError: another shape, no outputs, or logits that are not finite.

    >>> logit_matrix(np.zeros(3, np.float32)).shape
    (3, 1)
    """
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim == 1:
        scores = scores[:, None]
    if scores.ndim != 2 or scores.shape[1] == 0:
        raise InputError(f"logits must have shape (n,) or (n, d), got {np.shape(logits)}")
    if not np.isfinite(scores).all():
        raise InputError("logits have values that are NaN or infinite; all must be finite")
    return scores
