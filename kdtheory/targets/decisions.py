"""The classes that logits decide for, and how many of them are right."""

import numpy as np
from jaxtyping import Int, Real

from kdtheory.typing import ArrayLike


def decided(logits: Real[ArrayLike, "n d"]) -> Int[np.ndarray, " n"]:
    """Return the class each row of logits decides for: int64, shape (n,).

    With one logit class 1 where f > 0, else class 0; with several the first of the largest.

    >>> decided(np.array([[0.0, 2.0, 1.0]])), decided(np.array([[0.3], [-0.2], [0.0]]))
    (array([1]), array([1, 0, 0]))
    """
    scores = np.asarray(logits)
    return (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(axis=1)


def accuracy(logits: Real[ArrayLike, "n d"], labels: Int[ArrayLike, " n"]) -> float:
    """Return the part of the labels that the logits decide for, in [0, 1].

    Args:
      logits: shape (n, d).
      labels: class indices, shape (n,).

    >>> accuracy(np.eye(2), np.array([0, 0]))
    0.5
    """
    return float(np.mean(decided(logits) == np.asarray(labels)))
