"""Rounds of self-distillation amplify regularisation, up to the share of true labels."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.bounds import ridge_fit
from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.complexity import eigendecompose, factorize

if TYPE_CHECKING:
    import matplotlib.axes

_TOLERANCE = 1e-9
_WEIGHTS = (0.0, 0.3)


def check(*, quick: bool = False, seed: int = 0, ridge: float = 0.1) -> Outcome:
    """Simulate rounds of kernel ridge self-distillation and compare with the closed form.

    Args:
      quick: fewer rounds.
      seed: of inputs and labels.
      ridge: of every round; 0 breaks the premise that fits are regularised.
    """
    rounds = 6 if quick else 20
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(24, 3))
    gram = np.exp(-((x[:, None] - x) ** 2).sum(-1)) + 0.01 * np.eye(24)
    labels = rng.choice([-1.0, 1.0], size=24)
    spectrum = eigendecompose(gram)
    q, s = spectrum.eigenvectors, spectrum.eigenvalues
    shrink = s / (s + ridge)
    factor = factorize(gram, ridge=ridge)
    interpolant = factorize(gram)
    series: dict[str, np.ndarray] = {"round": np.arange(1, rounds + 1)}
    worst, smallest_fall = 0.0, np.inf
    for weight in _WEIGHTS:
        targets: np.ndarray = labels
        norms, sparsity = [], []
        for i in range(1, rounds + 1):
            fit = ridge_fit(factor, targets)
            # y_(i) = a y + (1 - a) f_(i-1) makes a geometric series in each eigendirection.
            ratio = (1 - weight) * shrink
            powers = ratio[None] ** np.arange(i)[:, None]
            factors = shrink * (weight * powers[:-1].sum(axis=0) + powers[-1])
            closed = (q * factors) @ (q.T @ labels)
            worst = max(worst, float(np.abs(closed - fit.predictions).max()))
            norms.append(float(interpolant.complexity(fit.predictions).complexity))
            sparsity.append(factors[0] / factors[-1])
            targets = weight * labels + (1 - weight) * fit.predictions
        falls = -np.diff(norms) / np.array(norms[:-1])
        smallest_fall = min(smallest_fall, float(falls.min()))
        if weight == 0:
            contrast = np.diff(sparsity) / np.array(sparsity[:-1])
            smallest_fall = min(smallest_fall, float(contrast.min()))
        series[f"complexity_{weight:g}"] = np.array(norms)
        series[f"contrast_{weight:g}"] = np.array(sparsity)
    # With true labels the rounds converge, so a fall may be tiny; it may not be none.
    return decided(
        min(smallest_fall - 1e-13, _TOLERANCE - worst),
        f"smallest relative fall of complexity, or growth of contrast, in a round "
        f"{smallest_fall:.1e}; simulation and closed form differ by {worst:.1e}, allowed "
        f"{_TOLERANCE:.0e}",
        **series,
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the complexity of each round's predictions for each weight of the true labels."""
    for weight in _WEIGHTS:
        axes.semilogy(
            outcome.series["round"],
            outcome.series[f"complexity_{weight:g}"],
            "o-",
            label=f"weight of true labels {weight:g}",
        )
    axes.set(xlabel="round", ylabel="complexity of predictions", title="Self-distillation")
    axes.legend()


CLAIM = Claim(
    name="self_distillation",
    statement=(
        "Kernel ridge self-distillation shrinks eigendirection s by s / (s + ridge) each round, so "
        "that the contrast between large and small ones grows; with a weight of the true labels it "
        "converges instead of collapsing, by a geometric series (there the contrast need not "
        "grow). Complexity falls in every round of either."
    ),
    source="Mobahi, Farajtabar, Bartlett 2020; Borup and Andersen 2021",
    varied="rounds; weight of the true labels 0 and 0.3",
    check=check,
    draw=draw,
    caveat=(
        "With a weight of the true labels the contrast between directions need not grow in "
        "every round; complexity falls all the same. Without a ridge a round changes nothing."
    ),
)
