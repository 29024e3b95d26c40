"""The certificate: supervision complexity read as prediction, and the errors of that prediction."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Int, Real

from kdtheory.bounds.arguments import check_delta, class_gaps
from kdtheory.bounds.conditional_risk import Method, bound_conditional_risk
from kdtheory.bounds.validity import Premises, Validity
from kdtheory.complexity import Factor, prequential_fit
from kdtheory.complexity.prequential import PrequentialFit
from kdtheory.errors import InputError, unknown_name
from kdtheory.typing import ArrayLike

RidgeChoice: TypeAlias = Literal["past", "paid"]

IN_ORDER = (
    "the examples are independent draws from the distribution of the risk, in an order that was "
    "drawn without looking at them (not stratified, not balanced over classes)"
)
KERNEL_FIXED = "kernel and its centring were fixed before the sample was drawn"
TARGETS_OF_THE_PAST = "the target of each example was made without it and later ones"


class PrequentialBound(NamedTuple):
    """The mean risk of the fits to growing parts of the sample is at most `bound`.

    With f_{i-1} the kernel ridge fit to the first i - 1 examples, the risk is that of a predictor
    drawn among the f_{i-1} of the last `part` of the sample with the probabilities `weights`.
    """

    bound: float
    """Of that risk, with probability 1 - delta; says nothing where it is 1."""
    vote_bound: float
    """2 bound, of the risk of the deterministic predictor that takes their weighted vote: where it
    errs, at least half of the vote does. Nothing is said of f_n, the fit to all examples, nor of
    the mean of the f_{i-1}.
    """
    error: float
    """Share of errors of f_{i-1} on its next example, ties counted: the prequential error."""
    error_from_complexity: float
    """Another bound of `error`, from the complexity alone: slack C_ridge / n; NaN where a target
    decides against its own label, or where only a part is certified.
    """
    complexity: float
    """C_ridge = Y^T (K + ridge I)^-1 Y of the whole sample, summed over outputs."""
    num_examples: int
    """In the part that is certified."""
    part: float
    """Share of the sequence that is certified, its end."""
    ridge: float
    """Of the fits; NaN where it changes from example to example."""
    weights: np.ndarray
    """Of the predictors f_{i-1} of the part, in their order; they sum to 1."""
    delta: float
    """Probability of failure."""
    premises: Premises
    """What the bound rests on; `validity` sums it up: "certificate" or "diagnostic"."""

    @property
    def validity(self) -> Validity:
        """Whether the premises hold: "certificate" or "diagnostic"."""
        return self.premises.validity


def prequential_bound(
    factor: Factor | PrequentialFit | Sequence[Factor | PrequentialFit],
    targets: Real[ArrayLike, "..."],
    labels: Int[ArrayLike, " n"],
    *,
    kernel_depends_on_sample: bool,
    targets_depend_on_sample: bool,
    delta: float = 0.05,
    part: float | Sequence[float] = 1.0,
    ridge_choice: RidgeChoice = "past",
    method: Method = "betting",
) -> PrequentialBound:
    """Bound the risk of kernel ridge fits, without margin, norm or held-out examples.

    Args:
      factor: `complexity.factorize(gram, ridge=...)`, rows in the order of the examples; or what
        `complexity.prequential_fit_of_features` or `..._of_rows` made of the same targets, where
        the kernel is too large. Several, of one kernel and different ridges, are a choice of ridge.
      targets: what is fitted: (n,) or (n, 1) for two classes, (n, d) for d classes (a factor of n
        rows serves all outputs, one of n d rows couples them). The fits begin at 0.
      labels: class indices in the order of the examples, shape (n,): the risk is against these.
      kernel_depends_on_sample: whether these examples had a part in making the kernel (its network,
        its centring, the shares of its sketch).
      targets_depend_on_sample: whether target i was made with example i or later ones: by a teacher
        that was trained on them, say. Labels, and functions fixed beforehand, were not.
      delta: probability of failure, in (0, 1).
      part: share of the sequence, its end, whose predictors are certified; fixed before the sample
        is seen. Several: each is paid for with delta / m and the smallest bound is returned.
      ridge_choice: among several factors: "past" takes, for each example, the ridge with the fewest
        errors before it (the first of equals), and costs nothing; "paid" takes the ridge of the
        smallest bound, each at delta / m.
      method: see `bound_conditional_risk`.

    Returns:
      A `PrequentialBound`.

    Raises:
      InputError: targets or labels that do not fit, values out of range.

    Statement: with X_i = 1{f_{i-1} errs on example i}, l_i > 0 decided by the examples before i and
    w_i = 1 - exp(-l_i), with probability >= 1 - delta

        sum_i w_i P(f_{i-1} errs) / sum_i w_i
            <= (n / sum_i w_i) (1 - exp(-(sum_i l_i X_i + ln(1 / delta)) / n)).

    Proof idea: (1) f_{i-1} is fixed when example i is drawn, so X_i has the mean p_i = P(f_{i-1}
    errs) given the past; (2) prod_i exp(-l_i X_i) / (1 - p_i w_i) is a supermartingale of mean at
    most 1, so Markov bounds it; (3) -ln(1 - x) is convex: Jensen.

    From complexity alone: where f_{i-1} errs, `|y_i - f_{i-1}(x_i)|` is at least the target's own
    margin m_i, so z_i^2 >= m_i^2 / L_ii^2 and the errors number at most C max L_ii^2 / m_i^2 <=
    (1 + ridge) C for labels +-1 and k(x, x) <= 1. With d outputs the squared distance is at least
    half of the squared margin.

    Source: the chain rule is `complexity.prequential_fit`'s; Cesa-Bianchi, Conconi and Gentile 2004
    for risk from the errors of an online learner; Waudby-Smith and Ramdas 2024 for the rates.

    >>> from kdtheory.complexity import factorize
    >>> x = np.random.default_rng(0).uniform(-1, 1, size=(400, 1))
    >>> labels = (x[:, 0] > 0).astype(int)
    >>> terms = prequential_bound(factorize(1 + x @ x.T, ridge=1.0), 2.0 * labels - 1, labels,
    ...                           kernel_depends_on_sample=False, targets_depend_on_sample=False)
    >>> terms.error, round(terms.bound, 3), terms.validity
    (0.0175, 0.034, 'certificate')
    """
    check_delta(delta)
    fits = _fits(factor, targets)
    gaps = np.stack([class_gaps(fit.predictions, labels).min(axis=1) for fit in fits])
    losses = (gaps <= 0).astype(np.float64)
    parts = [float(share) for share in np.atleast_1d(np.asarray(part, dtype=np.float64))]
    if not parts or not all(0 < share <= 1 for share in parts):
        raise InputError(f"part must be one or several numbers in (0, 1], got {part}")
    ridges = [fit.ridge for fit in fits]
    if ridge_choice == "past" and len(fits) > 1:
        losses = _by_the_past(losses)[None]
        ridges = [math.nan]
    elif ridge_choice not in ("past", "paid"):
        raise unknown_name("ridge_choice", ridge_choice, ["past", "paid"])
    share = delta / (len(parts) * len(losses))
    best: PrequentialBound | None = None
    for row, ridge in enumerate(ridges):
        for fraction in parts:
            end = losses[row, losses.shape[1] - max(1, math.ceil(fraction * losses.shape[1])) :]
            found = bound_conditional_risk(end, delta=share, method=method)
            if best is not None and found.bound >= best.bound:
                continue
            best = PrequentialBound(
                bound=found.bound,
                vote_bound=min(1.0, 2 * found.bound),
                error=float(end.mean()),
                error_from_complexity=(
                    _error_from_complexity(fits[row], targets, labels)
                    if fraction == 1 and not math.isnan(ridge)
                    else math.nan
                ),
                complexity=fits[row].complexity if not math.isnan(ridge) else math.nan,
                num_examples=end.size,
                part=fraction,
                ridge=ridge,
                weights=found.weights,
                delta=delta,
                premises=_premises(kernel_depends_on_sample, targets_depend_on_sample),
            )
    assert best is not None
    return best


def _fits(
    factor: Factor | PrequentialFit | Sequence[Factor | PrequentialFit], targets: ArrayLike
) -> list[PrequentialFit]:
    given = [factor] if isinstance(factor, Factor | PrequentialFit) else list(factor)
    if not given:
        raise InputError("needs one factor or several, got none")
    fits = [prequential_fit(one, targets) if isinstance(one, Factor) else one for one in given]
    for fit in fits:
        if fit.predictions.shape != np.shape(targets):
            raise InputError(
                f"targets have shape {np.shape(targets)}, the fit's predictions "
                f"{fit.predictions.shape}: give the targets that it was made from"
            )
    return fits


def _by_the_past(losses: np.ndarray) -> np.ndarray:
    """Return (n,) losses, of the row with the smallest sum of losses before each column."""
    before = np.cumsum(losses, axis=1) - losses
    return losses[before.argmin(axis=0), np.arange(losses.shape[1])]


def _error_from_complexity(fit: PrequentialFit, targets: ArrayLike, labels: ArrayLike) -> float:
    gaps = class_gaps(targets, labels).min(axis=1)
    if (gaps <= 0).any():
        return math.nan
    several = np.ndim(targets) == 2 and np.shape(targets)[1] > 1
    slack = float((fit.variance / gaps**2).max()) * (2 if several else 1)
    return min(1.0, slack * fit.complexity / gaps.size)


def _premises(kernel_depends_on_sample: bool, targets_depend_on_sample: bool) -> Premises:
    """Return the premises with those broken that the caller said do not hold.

    >>> _premises(False, True).broken == (TARGETS_OF_THE_PAST,)
    True
    """
    broken = {KERNEL_FIXED: kernel_depends_on_sample, TARGETS_OF_THE_PAST: targets_depend_on_sample}
    assumed = (IN_ORDER, *(text for text, is_broken in broken.items() if not is_broken))
    return Premises(
        assumed=assumed, broken=tuple(text for text, is_broken in broken.items() if is_broken)
    )
