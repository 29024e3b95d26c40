"""Random labels cost Tr K^-1 on average, an adjusted complexity of at least 1."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.complexity import factorize

if TYPE_CHECKING:
    import matplotlib.axes

_STANDARD_ERRORS = 4.0


def check(*, quick: bool = False, seed: int = 0, dependence: float = 0.0) -> Outcome:
    """Draw random labels for kernels of growing spread and compare means with the trace.

    Args:
      quick: fewer draws.
      seed: of kernels and labels.
      dependence: breaks the premise that labels are independent: the probability that an example
        takes one label that all examples share.
    """
    draws, n = (2_000 if quick else 20_000), 40
    rng = np.random.default_rng(seed)
    exponents = np.array([0.0, 0.5, 1.0, 2.0])
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    scores, mean_ratio, adjusted = [], [], []
    for exponent in exponents:
        spectrum = np.arange(1.0, n + 1) ** -exponent
        factor = factorize((basis * spectrum) @ basis.T)
        labels = rng.choice([-1.0, 1.0], size=(draws, n))
        shared = rng.choice([-1.0, 1.0], size=(draws, 1))
        labels = np.where(rng.uniform(size=labels.shape) < dependence, shared, labels)
        result = factor.complexity(labels)
        expected = (1 / spectrum).sum()
        error = np.std(result.complexity) / np.sqrt(draws) + 1e-9 * expected
        scores.append(abs(np.mean(result.complexity) - expected) / error)
        mean_ratio.append(np.mean(result.complexity) / expected)
        adjusted.append(np.sqrt(np.mean(np.square(result.adjusted))))
    worst = float(max(scores))
    # E adjusted^2 = Tr K Tr K^-1 / n^2 >= 1; what is below 1 may be chance of the draws.
    shortfall = max(0.0, 1 - min(adjusted)) * np.sqrt(draws)
    return decided(
        _STANDARD_ERRORS - max(worst, float(shortfall)),
        f"mean complexity within {worst:.1f} standard errors of Tr K^-1 (allowed "
        f"{_STANDARD_ERRORS:.0f}); root mean square adjusted complexity from {min(adjusted):.3f}",
        spectral_exponent=exponents,
        complexity_over_trace=mean_ratio,
        adjusted=adjusted,
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the adjusted complexity against the decay of the spectrum."""
    series = outcome.series
    axes.plot(series["spectral_exponent"], series["adjusted"], "o-", label="adjusted (r.m.s.)")
    axes.plot(
        series["spectral_exponent"], series["complexity_over_trace"], "x--", label="C / Tr K^-1"
    )
    axes.axhline(1, color="grey", linestyle=":")
    axes.set(xlabel="decay exponent of the spectrum", title="Random labels")
    axes.legend()


CLAIM = Claim(
    name="random_labels",
    statement=(
        "For independent random labels E[Y^T K^-1 Y] = Tr K^-1, so that the root mean square of "
        "the adjusted complexity is at least 1, with equality for K proportional to I."
    ),
    source="Harutyunyan et al. 2023 (adjusted supervision complexity); arithmetic-harmonic mean",
    varied="decay of the kernel's spectrum, from flat",
    check=check,
    draw=draw,
    caveat=(
        "The adjusted complexity of random labels is at least 1 in root mean square, not in "
        "every draw."
    ),
)
