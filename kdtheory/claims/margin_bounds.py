"""The margin and PAC-Bayes bounds hold in fresh draws from distributions whose risk is known."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kdtheory.bounds import (
    margin_bound,
    multiclass_margin_bound,
    multiclass_pac_bayes_bound,
    pac_bayes_bound,
)
from kdtheory.claims.circle import FLIP, draw_circle, ridge_weights, risk_on_circle
from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes

_DELTA = 0.1
_GAMMAS = 2.0 ** np.arange(-5, 1)
_SCALES = 2.0 ** np.arange(-8, 4)
_OFFSETS = (0.0, 1.0)
_NAMES = (
    "margin_bound",
    "pac_bayes_bound",
    "multiclass_margin_bound",
    "multiclass_pac_bayes_bound",
)


def check(*, quick: bool = False, seed: int = 0, kernel_depends_on_sample: bool = False) -> Outcome:
    """Draw samples of growing size and compare all bounds with the exact risk.

    Args:
      quick: fewer draws and sizes.
      seed: of the draws.
      kernel_depends_on_sample: breaks that premise, by a kernel of one feature that memorises
        the sample's labels and says something else everywhere else.
    """
    sizes = [100, 1_000, 10_000] if quick else [100, 300, 1_000, 3_000, 10_000, 30_000]
    draws = 50 if quick else 200
    rng = np.random.default_rng(seed)
    risk = np.zeros((2, len(sizes), draws))
    bound, violated = (np.zeros((4, len(sizes), draws)) for _ in range(2))
    for i, size in enumerate(sizes):
        for j in range(draws):
            for k, classes in enumerate((2, 3)):
                grids, risk[k, i, j] = _bounds(
                    rng, size, classes, memorising=kernel_depends_on_sample
                )
                for m, values in enumerate(grids):
                    bound[2 * k + m, i, j] = values.min()
                    violated[2 * k + m, i, j] = np.any(values < risk[k, i, j])
    rates = violated.mean(axis=2)
    worst = float(np.max(rates))
    # Each may fail with probability delta; two standard errors of chance.
    allowed = _DELTA + 2 * math.sqrt(_DELTA * (1 - _DELTA) / draws)
    mean = bound.mean(axis=2)
    first = ", ".join(
        f"{name[:-6].replace('_', ' ')} {_first_below_one(sizes, values)}"
        for name, values in zip(_NAMES, mean, strict=True)
    )
    return decided(
        allowed - worst,
        f"each violated in at most {worst:.0%} of {draws} draws, allowed {allowed:.0%}; below 1 on "
        f"average from n = {first}",
        examples=sizes,
        risk=risk.mean(axis=2),
        violations=rates,
        **dict(zip(_NAMES, mean, strict=True)),
    )


def _first_below_one(sizes: list[int], bound: np.ndarray) -> str:
    useful = [n for n, value in zip(sizes, bound, strict=True) if value < 1]
    return f"{useful[0]:,}" if useful else "none of these"


def _bounds(
    rng: np.random.Generator, size: int, classes: int, *, memorising: bool
) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Margin and PAC-Bayes bound over their grids, and the exact risk, of one ridge fit.

    The kernel is x . x' (times I for three classes), so that the fit is linear in x.
    """
    shared: dict[str, Any] = {"kernel_depends_on_sample": memorising, "delta": _DELTA}
    x, y = draw_circle(rng, size, classes)
    if memorising:
        # One feature: the label's unit vector on the sample, that of the next class elsewhere.
        risk = 1 - FLIP / (classes - 1)
        logits, shared["squared_norm"] = np.eye(classes)[y], 1.0
        blocks = logits[:, :, None] * logits[:, None, :]
        trace = float(size)
    else:
        weights = ridge_weights(x, y, classes, ridge=1e-2 * size)
        risk = risk_on_circle(weights)
        logits, shared["squared_norm"] = x @ weights, float((weights**2).sum())
        blocks = np.ones(size)
        trace = float(classes * size)
    rows = np.arange(size)
    own = logits[rows, y]
    rivals = logits.copy()
    rivals[rows, y] = -np.inf
    margins = own - rivals.max(axis=1)
    if classes > 2:
        terms = multiclass_margin_bound(margins, trace=trace, gamma=_GAMMAS, **shared)
        other = multiclass_pac_bayes_bound(
            logits, y, blocks, scales=_SCALES, offsets=_OFFSETS, **shared
        )
    else:
        # g = f_1 - f_0 with f = (-g, g) / 2: ||g||^2 = 2 ||f||^2 in the space of one copy of k.
        shared["squared_norm"] *= 2
        diagonal = np.ones(size)
        terms = margin_bound(margins, trace=float(size), gamma=_GAMMAS, **shared)
        other = pac_bayes_bound(margins, diagonal, scales=_SCALES, offsets=_OFFSETS, **shared)
    return (np.asarray(terms.bound), np.asarray(other.bound)), risk


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw bounds and risk against the size of the sample."""
    series = outcome.series
    for i, name in enumerate(_NAMES):
        color = f"C{i // 2}"
        style = "o--" if i % 2 else "o-"
        axes.loglog(
            series["examples"], series[name], style, color=color, label=name[:-6].replace("_", " ")
        )
    for k, label in enumerate(("risk, two classes", "risk, three classes")):
        axes.loglog(series["examples"], series["risk"][k], ":", color=f"C{k}", label=label)
    axes.axhline(1, color="grey", linewidth=0.5)
    axes.set(xlabel="examples", ylabel="probability", title="Bounds and true risk")
    # Room for the legend above all curves.
    axes.set_ylim(top=8 * float(series["multiclass_margin_bound"][0]))
    axes.legend(loc="upper right", ncols=2, fontsize="small")


CLAIM = Claim(
    name="margin_bounds",
    statement=(
        "The margin bounds and the PAC-Bayes bounds, of two classes and of three, over their whole "
        "grids, are each above the true risk in at least 1 - delta of all samples."
    ),
    source=(
        "Harutyunyan et al. 2023; Mohri et al., Theorem 5.8; Maurer 2016; Langford and "
        "Shawe-Taylor 2002"
    ),
    varied="size of the sample; many fresh samples at each",
    check=check,
    draw=draw,
    caveat=(
        "They are no bounds for a kernel that was made from the sample: a single feature that "
        "memorises 1,000 labels breaks every one of them in every draw. And they are "
        "conservative: none was violated in any draw, where a tenth would be allowed."
    ),
)
