"""The best targets for a minimum-norm student amplify the top directions and shrink the tail."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes


def check(*, quick: bool = False, seed: int = 0, exponent: float = 1.0) -> Outcome:
    """Measure the gain of the best linear surrogate in every direction of the covariance.

    Args:
      quick: fewer draws.
      seed: of the designs.
      exponent: of the decay of the covariance's spectrum; 0 breaks the premise that it decays.
    """
    draws, n, p = (300, 20, 60) if quick else (4_000, 20, 60)
    rng = np.random.default_rng(seed)
    values = np.arange(1.0, p + 1) ** -exponent
    diagonal, energy = np.zeros(p), np.zeros(p)
    for _ in range(draws):
        x = rng.normal(size=(n, p)) * np.sqrt(values)
        projection = np.linalg.pinv(x) @ x
        diagonal += np.diag(projection)
        energy += values @ projection**2
    gain = values * diagonal / energy
    top, tail = float(np.min(gain[:5])), float(np.max(gain[-20:]))
    means = gain.reshape(6, -1).mean(axis=1)
    falls = float(-np.max(np.diff(means)))
    return decided(
        min(top - 1.02, 0.98 - tail, falls),
        f"gain {gain[0]:.2f} in the first direction, at least {top:.2f} in the first five, at most "
        f"{tail:.2f} in the last twenty",
        direction=np.arange(1, p + 1),
        gain=gain,
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the best gain of each direction."""
    axes.semilogx(outcome.series["direction"], outcome.series["gain"], "o-", markersize=3)
    axes.axhline(1, color="grey", linewidth=0.5)
    axes.set(xlabel="direction, largest variance first", ylabel="best gain", title="Best targets")


CLAIM = Claim(
    name="surrogate_targets",
    statement=(
        "A minimum-norm student of n Gaussian examples in p > n dimensions, with noiseless "
        "targets x . beta_s: the beta_s of the least expected risk is beta, times a gain in each "
        "direction of the covariance, lambda_i E P_ii / E (P Lambda P)_ii with P the projection "
        "on the sample. Where the spectrum decays the gain is above 1 in the top directions and "
        "below 1 in the tail: the best teacher is not the truth."
    ),
    source="Own reading of arXiv 2410.18837; the risk is quadratic in beta_s, so the gain is exact",
    varied="direction; spectrum 1 / i, n = 20, p = 60",
    check=check,
    draw=draw,
    caveat="With equal variances the gain is 1: then no targets are better than the true ones.",
)
