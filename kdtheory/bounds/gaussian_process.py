"""PAC-Bayes with the kernel's own Gaussian process: prior and posterior of Bayesian regression."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Int, Real

from kdtheory.bounds.arguments import check_delta, class_gaps, positive_grid
from kdtheory.bounds.pac_bayes import inverse_kl
from kdtheory.bounds.validity import INDEPENDENT_SAMPLE, Premises, Validity
from kdtheory.complexity import Spectrum
from kdtheory.complexity.kernel_checks import real_array
from kdtheory.complexity.stacks import refuse_class_indices
from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike

#: Prior scales: powers of two, which no sample had a part in choosing.
DEFAULT_PRIOR_SCALES = 2.0 ** np.arange(-10, 11)


class GaussianProcessBound(NamedTuple):
    """P(a draw of the posterior errs) <= gibbs_bound, and P(its mean errs) <= bound."""

    gibbs_bound: float
    """Of the randomised predictor, with probability 1 - delta."""
    bound: float
    """2 gibbs_bound, at most 1: of its mean, a kernel ridge fit. Where that errs, half of all draws
    do. The noise differs from input to input here, so no margin of it makes the 2 smaller.
    """
    gibbs_error: float
    """Of the randomised predictor on the sample; for several classes an upper bound of it."""
    kl: float
    """Of posterior from prior, in nats, summed over outputs."""
    scale: float
    """s: the prior's covariance is s^2 k."""
    ridge: float
    """Of the mean, absolute."""
    noise: float
    """lambda' of the covariance s^2 (k - k_X (K + lambda')^-1 k_X), absolute."""
    delta: float
    """Probability of failure."""
    premises: Premises
    """What the bound rests on; `validity` sums it up: "certificate" or "diagnostic"."""

    @property
    def validity(self) -> Validity:
        """Whether the premises hold: "certificate" or "diagnostic"."""
        return self.premises.validity


def gaussian_process_bound(
    spectrum: Spectrum,
    targets: Real[ArrayLike, "..."],
    labels: Int[ArrayLike, " n"],
    *,
    ridges: Sequence[float] | Real[ArrayLike, " r"],
    noises: Sequence[float] | Real[ArrayLike, " q"],
    kernel_depends_on_sample: bool,
    scales: float | Sequence[float] | Real[ArrayLike, " m"] = DEFAULT_PRIOR_SCALES,
    delta: float = 0.05,
) -> GaussianProcessBound:
    """Bound the risk of a Gaussian process classifier, and of its mean, the kernel ridge fit.

    Args:
      spectrum: `complexity.eigendecompose(gram)` of n rows.
      targets: what is fitted: (n,) or (n, 1) for two classes, (n, d) for d classes, every output
        with the same kernel.
      labels: class indices, shape (n,).
      ridges: of the mean, > 0, absolute. The best is taken, at no cost.
      noises: lambda' of the covariance, > 0, absolute; at no cost either.
      kernel_depends_on_sample: whether these examples had a part in making the kernel.
      scales: s of the prior, a grid of m fixed before the sample is seen, each at delta / m.
      delta: probability of failure, in (0, 1).

    Returns:
      A `GaussianProcessBound`, the smallest over all three grids.

    Raises:
      InputError: shapes that do not fit, values out of range.

    Statement: prior GP(0, s^2 k) for each output; posterior mean h = k_X (K + ridge I)^-1 Y and
    covariance s^2 (k - k_X (K + lambda' I)^-1 k_X). Then with probability >= 1 - delta, for all m
    scales and every ridge, lambda' and Y at once, with v_i the covariance at x_i over s^2,

        P(a draw errs) <= sup { p : kl(e, p) <= (KL + ln(2 m sqrt(n) / delta)) / n },
        KL = (||h||^2 / s^2 + d ln det(I + K / lambda') - d Tr K (K + lambda')^-1) / 2,
        e = (1/n) sum_i Phi(-y_i h(x_i) / (s sqrt(v_i))),

    for d classes the sum over rivals of the label, with 2 v_i, in place of Phi, and 1 at most.

    Proof idea: (1) Seeger and Maurer's theorem holds for all posteriors at once, so ridge, lambda'
    and Y may be chosen from the sample; (2) prior and posterior differ on the n values at the
    sample only, where they are Gaussian; (3) union over the scales: the prior may not be chosen.

    Against `pac_bayes_bound`, whose posterior keeps the prior's covariance: here a draw is narrow
    where there are examples, so the same margins err less often, at the price of the log det.

    Source: Seeger 2002, "PAC-Bayesian generalisation error bounds for Gaussian process
    classification"; Maurer 2004.

    >>> from kdtheory.complexity import eigendecompose
    >>> x = np.random.default_rng(0).uniform(-1, 1, size=(400, 1))
    >>> labels = (x[:, 0] > 0).astype(int)
    >>> terms = gaussian_process_bound(
    ...     eigendecompose(1 + x @ x.T), 2.0 * labels - 1, labels, ridges=[1.0], noises=[0.1, 1.0],
    ...     kernel_depends_on_sample=False)
    >>> 0 < terms.gibbs_error < terms.gibbs_bound < 0.1, terms.validity
    (True, 'certificate')
    """
    check_delta(delta)
    grids = {"ridges": ridges, "noises": noises, "scales": scales}
    checked = {name: positive_grid(name, grid) for name, grid in grids.items()}
    given = real_array("targets", targets, InputError)
    if given.ndim and given.size == len(given):
        refuse_class_indices(given)
    y = given.astype(np.float64)
    if not np.isfinite(y).all():
        raise InputError("targets have values that are NaN or infinite; all must be finite")
    values, vectors = np.maximum(spectrum.eigenvalues, 0.0), spectrum.eigenvectors
    n = values.size
    if y.ndim not in (1, 2) or len(y) != n:
        raise InputError(f"targets must have shape ({n},) or ({n}, d), got {y.shape}")
    weights = vectors.T @ y.reshape(n, -1)
    d = weights.shape[1]
    log_count = math.log(2 * checked["scales"].size * math.sqrt(n) / delta)
    squares = vectors**2
    shapes = []
    for noise in checked["noises"]:
        # k - k_X (K + lambda')^-1 k_X on the sample has the eigenvalues lambda' s / (s + lambda').
        variance = squares @ (noise * values / (values + noise))
        spread = float(np.log1p(values / noise).sum() - (values / (values + noise)).sum())
        shapes.append((float(noise), np.maximum(variance, 0.0), d * spread))
    rows: list[tuple[float, float, float, float, float]] = []
    for ridge in checked["ridges"]:
        mean = vectors @ (weights * (values / (values + ridge))[:, None])
        norm = float(((weights / (values + ridge)[:, None]) ** 2 * values[:, None]).sum())
        gaps = class_gaps(mean.reshape(y.shape), labels)
        for noise, variance, spread in shapes:
            deviation = np.sqrt(variance * (2 if d > 1 else 1))[:, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                turned = -gaps / deviation
            # A draw without spread errs where its mean does, ties counted.
            turned = np.where(np.isnan(turned), np.inf, turned)
            for scale in checked["scales"]:
                kl = (norm / scale**2 + spread) / 2
                # Beyond that the bound is above one half whatever the error: not worth computing.
                hopeless = kl > n * math.log(2)
                each = None if hopeless else scipy.special.ndtr(turned / scale).sum(axis=1)
                error = 1.0 if each is None else float(np.minimum(each, 1.0).mean())
                rows.append((error, kl, float(scale), float(ridge), noise))
    errors, divergences = np.array([row[:2] for row in rows]).T
    bounds = inverse_kl(errors, (divergences + log_count) / n)
    least = int(np.argmin(bounds))
    bound, (error, kl, scale, ridge, noise) = float(bounds[least]), rows[least]
    return GaussianProcessBound(
        gibbs_bound=bound,
        bound=min(1.0, 2 * bound),
        gibbs_error=error,
        kl=kl,
        scale=scale,
        ridge=ridge,
        noise=noise,
        delta=delta,
        premises=_premises(kernel_depends_on_sample),
    )


def _premises(kernel_depends_on_sample: bool) -> Premises:
    kernel = "the kernel was fixed before the sample was drawn"
    assumed = (INDEPENDENT_SAMPLE, "the grid of scales was fixed before the sample was drawn")
    if kernel_depends_on_sample:
        return Premises(assumed=assumed, broken=(kernel,))
    return Premises(assumed=(*assumed, kernel), broken=())
