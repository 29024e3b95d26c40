"""The margin and PAC-Bayes bounds hold in fresh draws from a distribution whose risk is known."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kdtheory.bounds import margin_bound, pac_bayes_bound
from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes

_DELTA = 0.1
_FLIP = 0.05
_GAMMAS = 2.0 ** np.arange(-4, 1)


def check(*, quick: bool = False, seed: int = 0, kernel_depends_on_sample: bool = False) -> Outcome:
    """Draw samples of growing size and compare all bounds with the exact risk.

    Args:
        quick: fewer draws and sizes.
        seed: of the draws.
        kernel_depends_on_sample: breaks that premise, by a kernel of one feature that memorises
            the sample's labels and says the opposite everywhere else.
    """
    sizes = [100, 1_000, 10_000] if quick else [100, 300, 1_000, 3_000, 10_000, 30_000]
    draws = 50 if quick else 200
    rng = np.random.default_rng(seed)
    risk, margin, pac_bayes, violations = (np.zeros((len(sizes), draws)) for _ in range(4))
    for i, size in enumerate(sizes):
        for j in range(draws):
            margins, squared_norm, diagonal, risk[i, j] = _draw(
                rng, size, memorising=kernel_depends_on_sample
            )
            shared: dict[str, Any] = {
                "squared_norm": squared_norm,
                "kernel_depends_on_sample": kernel_depends_on_sample,
                "delta": _DELTA,
            }
            terms = margin_bound(margins, trace=float(diagonal.sum()), gamma=_GAMMAS, **shared)
            other = pac_bayes_bound(margins, diagonal, **shared)
            margin[i, j], pac_bayes[i, j] = terms.best().bound, other.best().bound
            violations[i, j] = max(
                np.any(terms.bound < risk[i, j]), np.any(other.bound < risk[i, j])
            )
    rate = violations.mean(axis=1)
    worst = float(np.max(rate))
    # Two bounds, each of which may fail with probability delta; two standard errors of chance.
    allowed = 2 * _DELTA + 2 * math.sqrt(2 * _DELTA * (1 - 2 * _DELTA) / draws)
    useful = [n for n, bound in zip(sizes, margin.mean(axis=1), strict=True) if bound < 1]
    first = f"{useful[0]:,}" if useful else "none of the sizes"
    return decided(
        allowed - worst,
        f"violated in {worst:.0%} of {draws} draws, allowed {allowed:.0%}; the margin bound is "
        f"below 1 from n = {first} on",
        examples=sizes,
        risk=risk.mean(axis=1),
        margin_bound=margin.mean(axis=1),
        pac_bayes_bound=pac_bayes.mean(axis=1),
        violations=rate,
    )


def _draw(
    rng: np.random.Generator, size: int, *, memorising: bool
) -> tuple[np.ndarray, float, np.ndarray, float]:
    """Margins, squared norm, kernel diagonal and exact risk of one fit.

    x is uniform on the unit circle, y = sign(x_1), flipped with probability 5%. The kernel is
    x^T x', the fit a ridge fit; its error is the angle between its weights and the first axis.
    """
    angle = rng.uniform(0, 2 * np.pi, size)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    y = np.sign(x[:, 0]) * np.where(rng.uniform(size=size) < _FLIP, -1.0, 1.0)
    if memorising:
        return np.ones(size), 1.0, np.ones(size), 1 - _FLIP
    weights = np.linalg.solve(x.T @ x + 1e-2 * size * np.eye(2), x.T @ y)
    disagreement = math.acos(min(1.0, weights[0] / np.linalg.norm(weights))) / math.pi
    risk = _FLIP + (1 - 2 * _FLIP) * disagreement
    return y * (x @ weights), float(weights @ weights), (x**2).sum(axis=1), risk


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw bounds and risk against the size of the sample."""
    series = outcome.series
    for name in ("margin_bound", "pac_bayes_bound", "risk"):
        axes.loglog(series["examples"], series[name], "o-", label=name.replace("_", " "))
    axes.axhline(1, color="grey", linestyle=":")
    axes.set(xlabel="examples", ylabel="probability", title="Bounds and true risk")
    axes.legend()


CLAIM = Claim(
    name="margin_bounds",
    statement=(
        "The margin bound and the PAC-Bayes bound, over their whole grids, are each above the true "
        "risk in at least 1 - delta of all samples."
    ),
    source="Harutyunyan et al. 2023; Mohri et al., Theorem 5.8; Langford and Shawe-Taylor 2002",
    varied="size of the sample; many fresh samples at each",
    check=check,
    draw=draw,
)
