"""Complexity is the cumulative loss of predicting each example from those before it."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.complexity import factorize, prequential_fit

if TYPE_CHECKING:
    import matplotlib.axes

_TOLERANCE = 1e-9


def check(*, quick: bool = False, seed: int = 0, refit_factor: float = 1.0) -> Outcome:
    """Refit before every example, in several orders, and compare with one factorisation.

    Args:
      quick: fewer examples and orders.
      seed: of inputs, targets and orders.
      refit_factor: breaks the premise that all fits have the ridge of the complexity: theirs is so
        many times as large.
    """
    n, orders, ridge = (40, 3, 0.1) if quick else (120, 10, 0.1)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    gram = np.exp(-((x[:, None] - x) ** 2).sum(-1) / 2)
    y = np.sign(x[:, 0]) + 0.3 * rng.normal(size=n)
    complexity = float(factorize(gram, ridge=ridge).complexity(y).complexity)
    errors, sums, paths = [], [], []
    for _ in range(orders):
        order = rng.permutation(n)
        k, target = gram[np.ix_(order, order)], y[order]
        fit = prequential_fit(factorize(k, ridge=ridge), target)
        losses = np.empty(n)
        for i in range(n):
            inner = k[:i, :i] + refit_factor * ridge * np.eye(i)
            weights = np.linalg.solve(inner, np.column_stack([target[:i], k[:i, i]]))
            prediction = k[i, :i] @ weights[:, 0]
            variance = ridge + k[i, i] - k[i, :i] @ weights[:, 1]
            losses[i] = (target[i] - prediction) ** 2 / variance
            errors.append(abs(prediction - fit.predictions[i]))
        sums.append(losses.sum())
        paths.append(np.cumsum(losses))
    worst = float(max(*errors, *(abs(value / complexity - 1) for value in sums)))
    return decided(
        _TOLERANCE - worst,
        f"refits and factor differ by {worst:.1e}, allowed {_TOLERANCE:.0e}, in {orders} orders "
        f"whose first halves sum to {min(p[n // 2 - 1] for p in paths):.0f} to "
        f"{max(p[n // 2 - 1] for p in paths):.0f} of {complexity:.0f}",
        examples=np.arange(1, n + 1),
        cumulative_loss=np.array(paths),
        complexity=np.asarray(complexity),
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the cumulative loss in each order, and the complexity that all of them end at."""
    series = outcome.series
    axes.plot(series["examples"], series["cumulative_loss"].T, linewidth=1)
    axes.axhline(float(series["complexity"]), color="black", linestyle=":", label="complexity")
    axes.set(xlabel="examples", ylabel="cumulative normalised loss", title="The chain rule")
    axes.legend()


CLAIM = Claim(
    name="chain_rule",
    statement=(
        "With f_(i-1) the kernel ridge fit to the first i - 1 examples and v_i its predictive "
        "variance at x_i, Y^T (K + ridge I)^-1 Y = sum_i (y_i - f_(i-1)(x_i))^2 / (ridge + v_i), "
        "in any order: supervision complexity is cumulative prediction loss."
    ),
    source="The chain rule of the Cholesky factor; Dawid 1984 (prequential)",
    varied="the order of the examples",
    check=check,
    draw=draw,
)
