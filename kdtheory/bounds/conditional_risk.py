"""Upper bounds of mean conditional risks from the errors of a sequence of predictors.

X_i in [0, 1] is the loss of predictor i on example i, and p_i its mean given the examples before.
Since exp(-l x) <= 1 - x (1 - exp(-l)) on [0, 1], for any l_i > 0 that the past alone decides,

    M = prod_i exp(-l_i X_i) / (1 - p_i w_i),   w_i = 1 - exp(-l_i),

is a nonnegative supermartingale of mean at most 1, so ln M <= ln(1 / delta) with probability at
least 1 - delta (Markov; Ville for all lengths at once). -ln(1 - x) is convex: with W the mean of
the w_i, -(1/n) sum ln(1 - p_i w_i) >= -ln(1 - W q), q = sum w_i p_i / sum w_i (Jensen).
"""

import math
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import scipy.special
from jaxtyping import Float

from kdtheory.bounds.arguments import check_delta
from kdtheory.bounds.pac_bayes import inverse_kl
from kdtheory.errors import InputError, unknown_name

Method: TypeAlias = Literal["betting", "mixture", "empirical_bernstein"]

#: Rates of the mixture: powers of two, which no sample had a part in choosing.
_RATES = 2.0 ** np.arange(-8, 4)


class ConditionalRisk(NamedTuple):
    """Bound of sum_i weights_i p_i, with probability 1 - delta."""

    bound: float
    """At most 1."""
    weights: np.ndarray
    """Of the predictors, shape (n,); they sum to 1. Each is decided before its example is seen."""


def bound_conditional_risk(
    losses: Float[np.ndarray, " n"], *, delta: float, method: Method = "betting"
) -> ConditionalRisk:
    """Bound the mean conditional risk of n predictors from the loss of each on its own example.

    Args:
      losses: X_i in [0, 1], in the order of the examples.
      delta: probability of failure, in (0, 1).
      method: how.

        - "betting": l_i the rate that would be best if the mean of the losses before i were that of
          all of them. Bounds the risk of predictor i drawn with probability w_i / sum w:
          q <= (1 - exp(-(sum l_i X_i + ln(1 / delta)) / n)) / W. No grid is paid for.
        - "mixture": the mean over a fixed grid of rates of M, in place of the largest of them,
          which a union bound would take. All predictors weigh the same.
        - "empirical_bernstein": theorem 2 of Waudby-Smith and Ramdas, the weights l_i / sum l.

    Raises:
      InputError: losses outside [0, 1], delta outside (0, 1), an unknown method.

    Of the three "betting" is the tightest for mean losses of 0 to 0.4 and n = 250 to 25,000, but
    for a few cells that "empirical_bernstein" wins by less than 1 %: docs/bounds.md has the table.

    Source: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting",
    for predictable rates; the mean of conditional means that change, by Jensen, is ours.

    >>> errors = np.arange(1000) % 20 == 0
    >>> round(bound_conditional_risk(errors.astype(float), delta=0.05).bound, 3)
    0.069
    """
    check_delta(delta)
    if losses.ndim != 1 or losses.size == 0 or not ((losses >= 0) & (losses <= 1)).all():
        raise InputError("losses must be in [0, 1], of shape (n,) with n >= 1")
    if method == "betting":
        return _betting(losses, math.log(1 / delta))
    if method == "mixture":
        return _mixture(losses, math.log(1 / delta))
    if method == "empirical_bernstein":
        return _empirical_bernstein(losses, math.log(1 / delta))
    raise unknown_name("method", method, ["betting", "mixture", "empirical_bernstein"])


def _means_before(values: np.ndarray, prior: float) -> np.ndarray:
    """Return the mean of the values before each one, and of one prior value."""
    sums = prior + np.concatenate([[0.0], np.cumsum(values)[:-1]])
    return sums / np.arange(1, values.size + 1)


def _betting(losses: np.ndarray, budget: float) -> ConditionalRisk:
    n = losses.size
    mean = _means_before(losses, 0.5)
    # The rate at which the bound for a constant mean is attained, where kl(mean, p) = budget / n.
    p = np.minimum(inverse_kl(mean, np.full(n, budget / n)), 1 - 1e-9)
    rate = np.log(p * (1 - mean)) - np.log(mean * (1 - p))
    weight = -np.expm1(-rate)
    total = float(rate @ losses) + budget
    bound = -math.expm1(-total / n) / float(weight.mean())
    return ConditionalRisk(min(1.0, bound), weight / weight.sum())


def _mixture(losses: np.ndarray, budget: float) -> ConditionalRisk:
    n, error = losses.size, float(losses.mean())
    lower, upper = error, 1.0
    for _ in range(60):
        p = (lower + upper) / 2
        logs = -n * (_RATES * error + np.log1p(p * np.expm1(-_RATES)))
        if scipy.special.logsumexp(logs) - math.log(_RATES.size) <= budget:
            lower = p
        else:
            upper = p
    return ConditionalRisk(upper, np.full(n, 1 / n))


def _empirical_bernstein(losses: np.ndarray, budget: float) -> ConditionalRisk:
    n = losses.size
    squares = (losses - _means_before(losses, 0.5)) ** 2
    rate = np.minimum(np.sqrt(2 * budget / (n * _means_before(squares, 0.25))), 0.75)
    penalty = float(squares @ (-np.log1p(-rate) - rate))
    bound = (float(rate @ losses) + budget + penalty) / float(rate.sum())
    return ConditionalRisk(min(1.0, bound), rate / rate.sum())
