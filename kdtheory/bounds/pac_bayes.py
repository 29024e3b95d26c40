"""A PAC-Bayes bound for kernel predictors: of fast rate where the margins are wide."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float, Int, Real

from kdtheory.bounds.arguments import (
    Arguments,
    check_arguments,
    check_delta,
    class_gaps,
    select,
    select_value,
)
from kdtheory.bounds.validity import Premises, Validity, premises_of
from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike

#: Powers of two: a grid that no sample had a part in choosing.
DEFAULT_SCALES = 2.0 ** np.arange(-20, 21)
#: Margins of a draw, in standard deviations of its noise.
DEFAULT_OFFSETS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)


class PacBayesBound(NamedTuple):
    """P(f errs) <= bound <= 2 gibbs_bound, with probability 1 - delta.

    Arrays of shape (m,) over the grid of scales, all of whose bounds hold at once; `best()` picks
    the smallest.
    """

    bound: float | np.ndarray
    """On the error of f; says nothing where it is 1 or more."""
    gibbs_bound: float | np.ndarray
    """On the error of the randomised predictor f + scale * xi (the Gibbs risk)."""
    gibbs_error: float | np.ndarray
    """That error on the sample; for several classes an upper bound of it."""
    kl: float | np.ndarray
    """||f||_H^2 / (2 scale^2), of posterior from prior, in nats."""
    offset: float | np.ndarray
    """The margin c of a draw, in its standard deviations, that gives the smallest bound."""
    scale: float | np.ndarray
    """Of the noise xi, a Gaussian process of covariance k."""
    delta: float
    """Probability of failure."""
    premises: Premises
    """What the bound rests on; `validity` sums it up: "certificate", or "diagnostic" where the
    kernel depends on the sample.
    """

    @property
    def validity(self) -> Validity:
        """Whether the premises hold: "certificate" or "diagnostic"."""
        return self.premises.validity

    def at(self, scale: float) -> "PacBayesBound":
        """Return the terms at one scale of the grid, as floats.

        Raises:
          InputError: a scale that is not on the grid.
        """
        return select_value(self, "scale", scale)

    def best(self) -> "PacBayesBound":
        """Return the terms at the scale of the smallest bound, as floats."""
        return select(self, int(np.argmin(self.bound))) if np.ndim(self.bound) else self


def pac_bayes_bound(
    margins: Real[ArrayLike, " n"],
    kernel_diagonal: Real[ArrayLike, "..."],
    *,
    squared_norm: float,
    kernel_depends_on_sample: bool,
    scales: float | ArrayLike = DEFAULT_SCALES,
    offsets: Sequence[float] = DEFAULT_OFFSETS,
    delta: float = 0.05,
) -> PacBayesBound:
    """Bound P(Y f(X) <= 0) of a kernel predictor on a binary task by PAC-Bayes.

    Args:
      margins: y_i f(x_i) on the sample, shape (n,).
      kernel_diagonal: k(x_i, x_i), shape (n,), > 0.
      squared_norm: an upper bound of ||f||_H^2, as for `margin_bound`.
      kernel_depends_on_sample: whether these examples had a part in making the kernel.
      scales: one scale of the noise or a grid of m, in the unit of ||f||_H, fixed before the
        sample is seen; a grid costs delta / m for each. By default 2^-20, 2^-19, ..., 2^20.
      offsets: margins c >= 0 of a draw, in its standard deviations, fixed before the sample is
        seen; each costs its share of delta like a scale. (0,) is the classical form, with the
        factor 2.
      delta: probability of failure, in (0, 1).

    Returns:
      A `PacBayesBound`.

    Raises:
      InputError: values out of range.

    Statement: let e_sc = (1/n) sum_i Phi(c - y_i f(x_i) / (s sqrt(k(x_i, x_i)))). With probability
    >= 1 - delta, for all m pairs of scale s and offset c and every f in the RKHS at once,

        P(Y f(X) <= 0) <= sup { p : kl(e_sc, p) <= budget_s } / Phi(c),
        budget_s = (||f||_H^2 / (2 s^2) + ln(2 m sqrt(n) / delta)) / n,

    kl the divergence of two Bernoulli distributions. Without the factor 1 / Phi(c), at c = 0, it
    bounds the error of the randomised predictor.

    Proof idea: (1) prior: the Gaussian process of covariance s^2 k; posterior: the same about f,
    whose divergence from it is ||f||_H^2 / (2 s^2) (Cameron-Martin), so the Seeger-Maurer theorem
    bounds a draw g's probability of Y g(X) <= c s sqrt(k(X, X)), a loss in {0, 1} that is fixed
    beforehand; (2) where Y f(X) <= 0, at least the share Phi(c) of the draws has that loss, so f
    errs at most 1 / Phi(c) times as often; (3) union over scales and offsets.

    Against the margin bound: the radius enters as ||f||^2 k(x, x) / (n margin^2) and not as its
    root, so this one is tighter where few margins are small. c = 0 has the factor 2, which c = 1
    makes 1.19, at the price of the margins that are not far above c s.

    Source: Langford and Shawe-Taylor 2002, "PAC-Bayes and margins"; Maurer 2004, "A note on the
    PAC-Bayesian theorem"; Germain, Lacasse, Laviolette, Marchand 2009 for linear predictors.

    >>> terms = pac_bayes_bound(np.full(10_000, 2.0), np.ones(10_000), squared_norm=4.0,
    ...                         kernel_depends_on_sample=False).best()
    >>> terms.scale, terms.offset, round(terms.kl), round(terms.bound, 4)
    (0.5, 0.5, 8, 0.0043)
    """
    arguments = check_arguments(
        margins,
        squared_norm=squared_norm,
        delta=_share(delta, offsets),
        name="scales",
        grid=scales,
    )
    n = arguments.size
    diagonal = np.asarray(kernel_diagonal, dtype=np.float64)
    if diagonal.shape != (n,) or not np.isfinite(diagonal).all() or (diagonal <= 0).any():
        raise InputError(
            f"kernel_diagonal must be finite and > 0, of shape ({n},) like the margins, got shape "
            f"{diagonal.shape}"
        )
    normalised = arguments.margins / np.sqrt(diagonal)

    def error(scale: float, offset: float) -> float:
        return float(scipy.special.ndtr(offset - normalised / scale).mean())

    terms = _terms(arguments, error, offsets, squared_norm, delta, kernel_depends_on_sample)
    return terms if np.ndim(scales) else select(terms, 0)


def multiclass_pac_bayes_bound(
    logits: Real[ArrayLike, "n d"],
    labels: Int[ArrayLike, " n"],
    kernel_blocks: Real[ArrayLike, "..."],
    *,
    squared_norm: float,
    kernel_depends_on_sample: bool,
    scales: float | ArrayLike = DEFAULT_SCALES,
    offsets: Sequence[float] = DEFAULT_OFFSETS,
    delta: float = 0.05,
) -> PacBayesBound:
    """Bound P(argmax f(X) != Y) of a predictor of a matrix-valued kernel by PAC-Bayes.

    Args:
      logits: f(x_i), shape (n, d), d >= 2.
      labels: class indices, shape (n,).
      kernel_blocks: K(x_i, x_i): shape (n, d, d), or (n,) where the block is k(x_i, x_i) I.
      squared_norm: an upper bound of ||f||_H^2, Y^T K^-1 Y with the full (n d, n d) kernel.
      kernel_depends_on_sample: as for `pac_bayes_bound`.
      scales: as for `pac_bayes_bound`.
      offsets: as for `pac_bayes_bound`.
      delta: probability of failure, in (0, 1).

    Returns:
      A `PacBayesBound`.

    Raises:
      InputError: values out of range; a block for which two classes always have equal logits.

    Statement: that of `pac_bayes_bound`, ties counted as errors, with

        e_sc = (1/n) sum_i min(1, sum over a != y_i of Phi(c - (f_{y_i} - f_a)(x_i) / (s v_ia))),
        v_ia^2 = K_yy + K_aa - 2 K_ya, the variance of xi_y - xi_a at x_i.

    Proof idea: (1) as in two classes, with the Gaussian process of d outputs; a draw errs with at
    most the probability of the union over the d - 1 rivals, and the inverse kl grows with the
    error; (2) where f errs some rival is not below the label, and in at least the share Phi(c) of
    the draws not below it by c s v; (3) union over scales and offsets. No factor d: the number of
    classes enters through the sum alone, in which rivals far below count for nothing.

    Source: as for `pac_bayes_bound`; the union over rivals is ours. For two
    classes with logits (-g, g) / 2 and a kernel k(x, x') I it is the binary bound of g with 2 k.

    >>> terms = multiclass_pac_bayes_bound(
    ...     np.tile([2.0, 0.0, 0.0], (10_000, 1)), np.zeros(10_000, int), np.ones(10_000),
    ...     squared_norm=4.0, kernel_depends_on_sample=False).best()
    >>> terms.scale, terms.offset, round(terms.kl), round(terms.bound, 4)
    (0.25, 1.5, 32, 0.0051)
    """
    gaps = class_gaps(logits, labels)
    arguments = check_arguments(
        gaps.min(axis=1),
        squared_norm=squared_norm,
        delta=_share(delta, offsets),
        name="scales",
        grid=scales,
    )
    normalised = gaps / np.sqrt(_rival_variances(kernel_blocks, labels, gaps.shape))

    def error(scale: float, offset: float) -> float:
        rivals = scipy.special.ndtr(offset - normalised / scale).sum(axis=1)
        return float(np.minimum(rivals, 1.0).mean())

    terms = _terms(arguments, error, offsets, squared_norm, delta, kernel_depends_on_sample)
    return terms if np.ndim(scales) else select(terms, 0)


def _rival_variances(
    kernel_blocks: ArrayLike, labels: ArrayLike, shape: tuple[int, int]
) -> np.ndarray:
    """K_yy + K_aa - 2 K_ya for each rival a, shape (n, d - 1), all above 0."""
    n, rivals = shape
    d = rivals + 1
    blocks = np.asarray(kernel_blocks, dtype=np.float64)
    if blocks.shape not in ((n,), (n, d, d)) or not np.isfinite(blocks).all():
        raise InputError(
            f"kernel_blocks must be finite, of shape ({n},) or ({n}, {d}, {d}), got shape "
            f"{blocks.shape}"
        )
    if blocks.ndim == 1:
        variances = np.broadcast_to(2 * blocks[:, None], shape)
    else:
        index = np.asarray(labels)
        rows = np.arange(n)
        diagonal = np.einsum("iaa->ia", blocks)
        own = diagonal[rows, index][:, None]
        every = own + diagonal - blocks[rows, index] - blocks[rows, :, index]
        variances = every[np.arange(d)[None, :] != index[:, None]].reshape(shape)
    if (variances <= 0).any():
        raise InputError(
            "kernel_blocks must let every two classes differ: K_yy + K_aa - 2 K_ya must be > 0"
        )
    return variances


def _share(delta: float, offsets: Sequence[float]) -> float:
    """Return what each offset may fail with; 0, that of the randomised predictor, is always one."""
    check_delta(delta)
    if not len(offsets) or not all(math.isfinite(c) and c >= 0 for c in offsets):
        raise InputError(f"offsets must be one or several finite numbers >= 0, got {offsets}")
    return delta / len({0.0, *offsets})


def _terms(
    arguments: Arguments,
    error: Callable[[float, float], float],
    offsets: Sequence[float],
    squared_norm: float,
    delta: float,
    kernel_depends_on_sample: bool,
) -> PacBayesBound:
    n, grid = arguments.size, arguments.grid
    kl = squared_norm / (2 * grid**2)
    budget = (kl + math.log(2 * math.sqrt(n) / arguments.share)) / n
    gibbs_error = np.array([error(s, 0.0) for s in grid])
    gibbs_bound = inverse_kl(gibbs_error, budget)
    each = np.stack(
        [
            inverse_kl(np.array([error(s, c) for s in grid]), budget) / scipy.special.ndtr(c)
            for c in offsets
        ]
    )
    return PacBayesBound(
        bound=each.min(axis=0),
        gibbs_bound=gibbs_bound,
        gibbs_error=gibbs_error,
        kl=kl,
        offset=np.asarray(offsets, np.float64)[each.argmin(axis=0)],
        scale=grid,
        delta=delta,
        premises=premises_of(
            kernel_depends_on_sample=kernel_depends_on_sample,
            assumed=("the grids of scales and offsets were fixed before the sample was drawn",),
        ),
    )


def inverse_kl(
    error: Float[np.ndarray, " m"], budget: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """Return sup { p in [error, 1] : kl(error, p) <= budget }, elementwise, by bisection.

    kl(q, p) = q ln(q / p) + (1 - q) ln((1 - q) / (1 - p)) grows in p from error on. What is
    returned is the upper end of an interval of width 2^-50 around the supremum.

    Raises:
      InputError: error outside [0, 1] or a negative budget.

    >>> inverse_kl(np.zeros(1), np.array([0.1])).round(9), round(1 - math.exp(-0.1), 9)
    (array([0.09516258]), 0.095162582)
    """
    if not ((error >= 0) & (error <= 1) & (budget >= 0)).all():
        raise InputError(f"needs error in [0, 1] and budget >= 0, got {error} and {budget}")
    lower, upper = error, np.ones_like(error)
    for _ in range(50):
        middle = (lower + upper) / 2
        within = bernoulli_kl(error, middle) <= budget
        lower, upper = np.where(within, middle, lower), np.where(within, upper, middle)
    return upper


def bernoulli_kl(q: Float[np.ndarray, " m"], p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Return q ln(q / p) + (1 - q) ln((1 - q) / (1 - p)), for q, p in [0, 1], in nats.

    >>> bernoulli_kl(np.array([0.5]), np.array([0.25])).round(6)
    array([0.143841])
    """
    return scipy.special.rel_entr(q, p) + scipy.special.rel_entr(1 - q, 1 - p)
