"""Fidelity: how nearly a student reproduces its teacher, in decisions and in probabilities."""

from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Bool, Float, Int, Real

from kdtheory.analysis.decision_margins import logit_matrix
from kdtheory.errors import InputError
from kdtheory.targets.decisions import decided
from kdtheory.typing import ArrayLike


class Fidelity(NamedTuple):
    """Means over the examples."""

    agreement: float
    """Share of examples on which student and teacher decide alike, in [0, 1]."""
    kl: float
    """KL(teacher || student) of their class probabilities, in nats, >= 0."""


def fidelity(
    student_logits: Real[ArrayLike, "..."], teacher_logits: Real[ArrayLike, "..."]
) -> Fidelity:
    """Return the mean agreement and the mean KL divergence of a student from its teacher.

    Args:
      student_logits: shape (n, d), or (n,) or (n, 1) for a binary task with one logit.
      teacher_logits: the same examples in the same order, the same number of outputs.

    Raises:
      InputError: shapes that differ, no examples, logits that are not finite.

    Source: paper; Stanton et al. 2021, "Does Knowledge Distillation Really Work?".

    >>> fidelity(np.array([1.0, -1.0]), np.array([1.0, 1.0])).agreement
    0.5
    """
    same = agreement(student_logits, teacher_logits)
    if same.size == 0:
        raise InputError("fidelity is a mean over examples; got none")
    divergence = kl_divergence(teacher_logits, student_logits)
    return Fidelity(agreement=float(same.mean()), kl=float(divergence.mean()))


def decisions(logits: Real[ArrayLike, "n *d"]) -> Int[np.ndarray, " n"]:
    """Return the class each row of logits decides for: int64, shape (n,).

    With one logit class 1 where f > 0, else class 0; with several the first of the largest.

    Args:
      logits: shape (n, d), or (n,) or (n, 1) for a binary task with one logit.

    Raises:
      InputError: another shape, or logits that are not finite.

    >>> decisions(np.array([0.3, -0.2, 0.0]))
    array([1, 0, 0])
    >>> decisions(np.array([[0.0, 2.0, 1.0]]))
    array([1])
    """
    return decided(logit_matrix(logits))


def agreement(
    student_logits: Real[ArrayLike, "..."], teacher_logits: Real[ArrayLike, "..."]
) -> Bool[np.ndarray, " n"]:
    """Return, for each example, whether student and teacher decide alike (see `decisions`).

    Raises:
      InputError: shapes that differ, or logits that are not finite.

    >>> agreement(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[3.0, 2.0], [0.0, 1.0]]))
    array([ True, False])
    """
    student, teacher = _pair(student_logits, teacher_logits)
    return decisions(student) == decisions(teacher)


def kl_divergence(
    logits: Real[ArrayLike, "..."], other_logits: Real[ArrayLike, "..."]
) -> Float[np.ndarray, " n"]:
    """Return each example's KL(p || q), p the probabilities of `logits`, q of `other_logits`.

    Args:
      logits: shape (n, d): p = softmax. Shape (n,) or (n, 1): p = Bernoulli(sigmoid(f)), the
        probability of class 1.
      other_logits: the same shape; q.

    Returns:
      Unreduced divergences in nats, float64, shape (n,). Rounding below 0 is set to 0.

    Raises:
      InputError: shapes that differ, or logits that are not finite.

    KL(p || q) = sum_c p_c (log p_c - log q_c), from log-softmax or log-sigmoid, so that it stays
    finite for any finite logits.

    >>> kl_divergence(np.array([0.0]), np.log(np.array([3.0]))).round(6)
    array([0.143841])
    >>> round(0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25), 6)
    np.float64(0.143841)
    """
    first, second = _pair(logits, other_logits)
    if first.shape[1] == 1:
        # A Bernoulli with logit f is a softmax over (f, 0).
        first, second = (np.hstack([z, np.zeros_like(z)]) for z in (first, second))
    log_p = scipy.special.log_softmax(first, axis=1)
    log_q = scipy.special.log_softmax(second, axis=1)
    return np.maximum((np.exp(log_p) * (log_p - log_q)).sum(axis=1), 0.0)


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = logit_matrix(first), logit_matrix(second)
    if a.shape != b.shape:
        raise InputError(
            f"both sets of logits must have the same shape, got {np.shape(first)} and "
            f"{np.shape(second)}"
        )
    return a, b
