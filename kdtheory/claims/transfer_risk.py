"""The risk of linear distillation is bounded by the angles between inputs and teacher."""

from typing import TYPE_CHECKING

import numpy as np
import scipy.special

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.claims.linear_distillation import distil

if TYPE_CHECKING:
    import matplotlib.axes

_DIMENSION = 100
_STANDARD_ERRORS = 3.0


def check(*, quick: bool = False, seed: int = 0, start: float = 0.0) -> Outcome:
    """Distil linear students on data of several geometries and compare the risk with the bound.

    Inputs have P(angle(w*, x) >= theta) = (1 - 2 theta / pi)^kappa, the angle of the lines, so
    between 0 and pi / 2: the larger kappa, the closer the inputs are to the teacher's direction and
    the wider the classes are apart.

    Args:
      quick: fewer draws.
      seed: of teachers and inputs.
      start: breaks the premise that the student starts at zero: the size of a start outside the
        span of the inputs.
    """
    draws = 12 if quick else 100
    sizes = np.array([1, 2, 4, 8, 16, 32, 64])
    kappas = np.array([0.5, 1.0, 3.0])
    rng = np.random.default_rng(seed)
    bound = np.array([[_bound(float(kappa), int(n)) for n in sizes] for kappa in kappas])
    risk = np.zeros((kappas.size, sizes.size, draws))
    lemma, growth = np.inf, np.inf
    for i, kappa in enumerate(kappas):
        for k in range(draws):
            teacher = rng.normal(size=_DIMENSION)
            teacher /= np.linalg.norm(teacher)
            x, angles = _inputs(rng, teacher, float(kappa), int(sizes[-1]))
            turned = np.zeros(sizes.size)
            for j, n in enumerate(sizes):
                span = np.linalg.qr(x[:n].T)[0]
                offset = rng.normal(size=_DIMENSION)
                offset -= span @ (span.T @ offset)
                student = distil(x[:n], x[:n] @ teacher, start * offset / np.linalg.norm(offset))
                turned[j] = np.arccos(np.clip(student @ teacher / np.linalg.norm(student), -1, 1))
                lemma = min(lemma, float(angles[:n].min() - turned[j]))
                risk[i, j, k] = _risk(float(turned[j]), float(kappa))
            growth = min(growth, -float(np.max(np.diff(turned))))
    mean = risk.mean(axis=2)
    error = risk.std(axis=2, ddof=1) / np.sqrt(draws)
    slack = float(((bound - mean + _STANDARD_ERRORS * error) / bound).min())
    ratio = mean / bound
    # Both hold with equality in places, and arccos gives angles to some 1e-8.
    exact = min(lemma, growth)
    return decided(
        slack if exact >= -1e-6 else min(slack, exact),
        f"risk over bound at most {ratio.max():.2f}; at n = {sizes[-1]} the bound is "
        f"{bound[-1, -1]:.1e} for the best geometry and {bound[0, -1]:.2f} for the worst, the risk "
        f"{mean[-1, -1]:.1e} and {mean[0, -1]:.1e}; student beyond the angle of its closest input "
        f"by at most {max(-lemma, 0.0):.0e}",
        examples=sizes,
        kappa=kappas,
        risk=mean,
        risk_error=error,
        bound=bound,
    )


def _inputs(
    rng: np.random.Generator, teacher: np.ndarray, kappa: float, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of norm 3, nested samples, and their angles with the teacher's line."""
    angles = np.pi / 2 * (1 - rng.uniform(size=size) ** (1 / kappa))
    across = rng.normal(size=(size, teacher.size))
    across -= np.outer(across @ teacher, teacher)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    side = rng.choice([-1.0, 1.0], size=(size, 1))
    along = np.cos(angles)[:, None] * teacher
    return 3 * side * (along + np.sin(angles)[:, None] * across), angles


def _risk(turned: float, kappa: float) -> float:
    """Return P(sign(w . x) != sign(w* . x)) for a student at angle `turned` from the teacher.

    With theta the angle of x and t the product of the unit vectors across, the signs differ where
    t > cot(theta) cot(turned); t^2 has a Beta(1/2, (d - 2) / 2) distribution. Mean over theta.
    """
    theta = np.pi / 2 * (1 - ((np.arange(4000) + 0.5) / 4000) ** (1 / kappa))
    threshold = 1 / (np.tan(theta) * np.tan(max(turned, 1e-12)))
    beyond = scipy.special.betainc((_DIMENSION - 2) / 2, 0.5, np.clip(1 - threshold**2, 0.0, 1.0))
    return float(np.where(threshold >= 0, beyond / 2, 1 - beyond / 2).mean())


def _bound(kappa: float, size: int) -> float:
    """Return the minimum over a grid of beta of p(beta) + p(pi/2 - beta)^n."""
    share = np.linspace(0, 1, 20_001)  # 1 - 2 beta / pi
    return float(np.min(share**kappa + (1 - share) ** (kappa * size)))


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw risk and bound against the number of examples for each geometry."""
    series = outcome.series
    for i, kappa in enumerate(series["kappa"]):
        (line,) = axes.loglog(
            series["examples"], series["risk"][i], "o-", label=f"risk, kappa {kappa:g}"
        )
        axes.loglog(series["examples"], series["bound"][i], "--", color=line.get_color())
    axes.plot([], [], "--", color="grey", label="bound")
    axes.set(xlabel="examples", ylabel="disagreement with teacher", title="Transfer risk")
    # Beyond lies only the rounding of a risk that is all but 0.
    axes.set_ylim(1e-8, 2)
    axes.legend(loc="lower left", fontsize="small")


CLAIM = Claim(
    name="transfer_risk",
    statement=(
        "A linear student distilled from zero on n < d examples has an expected disagreement with "
        "its teacher of at most min over beta of p(beta) + p(pi/2 - beta)^n, p(theta) the "
        "probability that an input's line is at an angle of at least theta from the teacher's; and "
        "it comes closer to the teacher with every example."
    ),
    source="Phuong and Lampert 2019, transfer risk bound and strong monotonicity",
    varied="number of examples; geometry of the data, kappa from 0.5 to 3",
    check=check,
    draw=draw,
    caveat=(
        "The bound is loose (the risk is a small part of it), and it needs the start at zero: "
        "from a start outside the span of the inputs the risk can be above it."
    ),
)
