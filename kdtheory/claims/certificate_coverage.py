"""The prequential certificate holds in fresh draws from a distribution whose risk is known."""

import math
from typing import TYPE_CHECKING

import numpy as np

from kdtheory.bounds import prequential_bound
from kdtheory.claims.circle import FLIP, draw_circle
from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.complexity import prequential_fit_of_features

if TYPE_CHECKING:
    import matplotlib.axes

_DELTA = 0.1


def check(*, quick: bool = False, seed: int = 0, kernel_depends_on_sample: bool = False) -> Outcome:
    """Draw samples and compare the certificate with the exact mean risk of the growing fits.

    Args:
      quick: fewer draws and sizes; 2,000 samples a size else.
      seed: of the draws.
      kernel_depends_on_sample: breaks that premise, by a kernel of one feature that is the label on
        the sample and a coin elsewhere.
    """
    sizes, draws = ([30, 100], 150) if quick else ([30, 100, 1_000], 2_000)
    rng = np.random.default_rng(seed)
    bound, risk = np.zeros((2, len(sizes), draws))
    for i, size in enumerate(sizes):
        for j in range(draws):
            x, labels = draw_circle(rng, size, 2)
            y = 2.0 * labels - 1
            risks = np.full(size, 0.5) if kernel_depends_on_sample else growing_risks(x, y)
            terms = prequential_bound(
                prequential_fit_of_features(
                    y[:, None] if kernel_depends_on_sample else x, y, ridge=1.0
                ),
                y,
                labels,
                delta=_DELTA,
                kernel_depends_on_sample=kernel_depends_on_sample,
                targets_depend_on_sample=False,
            )
            bound[i, j], risk[i, j] = terms.bound, terms.weights @ risks
    rates = (bound < risk).mean(axis=1)
    allowed = _DELTA + 2 * math.sqrt(_DELTA * (1 - _DELTA) / draws)
    worst = float(np.max(rates))
    return decided(
        allowed - worst,
        f"violated in at most {worst:.1%} of {draws:,} samples, allowed {allowed:.1%}; at n = "
        f"{sizes[-1]:,} {bound[-1].mean():.3f} where the risk is {risk[-1].mean():.3f}",
        examples=sizes,
        violations=rates,
        bound=bound.mean(axis=1),
        risk=risk.mean(axis=1),
    )


def growing_risks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the exact risk of each f_(i-1), linear ridge fits of ridge 1, i = 1..n.

    A direction that is turned by an angle from the truth disagrees with it on angle / pi of the
    circle; f_0 = 0 ties everywhere, and a tie is an error.
    """
    inner = np.eye(2) + np.cumsum(x[:, :, None] * x[:, None, :], axis=0)[:-1]
    outer = np.cumsum(x * y[:, None], axis=0)[:-1]
    weights = np.linalg.solve(inner, outer[..., None])[..., 0]
    # The second class, +1, is the one at angle pi.
    turned = np.abs(np.arctan2(weights[:, 1], -weights[:, 0])) / np.pi
    return np.append(1.0, FLIP + (1 - 2 * FLIP) * turned)


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the mean certificate and the mean risk against n."""
    series = outcome.series
    axes.loglog(series["examples"], series["bound"], "o-", label="certificate")
    axes.loglog(series["examples"], series["risk"], "D--", label="true risk")
    axes.set(xlabel="examples", ylabel="probability of error", title="The certificate")
    axes.legend()


CLAIM = Claim(
    name="certificate_coverage",
    statement=(
        "For independent examples in a random order and a kernel fixed beforehand, the prequential "
        "bound at delta is below the mean risk of the fits to growing parts of the sample with "
        "probability at most delta."
    ),
    source="bounds.prequential_bound; Cesa-Bianchi, Conconi and Gentile 2004 for the idea",
    varied="number of examples",
    check=check,
    draw=draw,
    caveat=(
        "The certificate is for a predictor drawn among the fits to growing parts of the sample "
        "(and, doubled, for their vote), not for the fit to all of it."
    ),
)
