"""The kernel learner's mistakes number at most (1 + ridge) times the complexity of the labels."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.complexity import factorize, prequential_fit

if TYPE_CHECKING:
    import matplotlib.axes

_RIDGES = (0.01, 0.1, 1.0, 10.0)


def check(*, quick: bool = False, seed: int = 0, diagonal: float = 1.0) -> Outcome:
    """Count the mistakes of the fits to the examples before, for labels from simple to random.

    Args:
      quick: fewer draws.
      seed: of inputs and labels.
      diagonal: k(x, x); breaks the premise that it is 1.
    """
    n, draws = (60, 5) if quick else (200, 40)
    rng = np.random.default_rng(seed)
    mistakes, allowed = [], []
    for _ in range(draws):
        x = rng.normal(size=(n, 2))
        gram = diagonal * np.exp(-((x[:, None] - x) ** 2).sum(-1) / 2)
        for flipped in (0.0, 0.1, 0.5):
            flip = np.where(rng.uniform(size=n) < flipped, -1, 1)
            y = np.where(x[:, 0] > 0, 1.0, -1.0) * flip
            for ridge in _RIDGES:
                fit = prequential_fit(factorize(gram, ridge=ridge), y)
                mistakes.append(int(np.sum(y * fit.predictions <= 0)))
                allowed.append((1 + ridge) * fit.complexity)
    ratio = np.array(mistakes) / np.array(allowed)
    return decided(
        float(1 - ratio.max()),
        f"mistakes at most {ratio.max():.2f} of (1 + ridge) C, {np.median(ratio):.2f} in the "
        f"median of {ratio.size} runs",
        mistakes=mistakes,
        allowed=allowed,
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw mistakes against what complexity allows."""
    series = outcome.series
    axes.loglog(series["allowed"], np.maximum(series["mistakes"], 0.5), "o", markersize=3)
    line = np.array([1.0, float(series["allowed"].max())])
    axes.loglog(line, line, color="black", linestyle=":", label="equal")
    axes.set(xlabel="(1 + ridge) complexity", ylabel="mistakes", title="Mistakes")
    axes.legend()


CLAIM = Claim(
    name="mistake_bound",
    statement=(
        "For labels +-1 and k(x, x) = 1 the kernel ridge fits to the examples before each one make "
        "at most (1 + ridge) Y^T (K + ridge I)^-1 Y mistakes, ties counted, on any sequence."
    ),
    source="The chain rule: a mistake has a squared error of at least 1, a variance of at most 1",
    varied="ridge, share of flipped labels",
    check=check,
    draw=draw,
)
