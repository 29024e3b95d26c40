"""A weak teacher's noise reaches a strong student in the directions that they share."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes


def check(*, quick: bool = False, seed: int = 0, hidden_overlap: int = 0) -> Outcome:
    """Fit weak teachers to noise and strong students to them; compare variance with the formula.

    Args:
      quick: fewer draws.
      seed: of all draws.
      hidden_overlap: breaks the premise that the overlap is as stated: so many further directions
        of the teacher are the student's too.
    """
    draws, labelled, unlabelled, weak, strong = (150 if quick else 2_000), 60, 200, 20, 30
    rng = np.random.default_rng(seed)
    overlaps = np.array([0, 5, 10, 15, 20])
    measured, teacher = np.zeros((2, overlaps.size))
    predicted = np.zeros(overlaps.size)
    for j, overlap in enumerate(overlaps):
        shared = min(weak, overlap + hidden_overlap)
        # Directions: those shared, the teacher's own, the student's own.
        ours = np.r_[0:shared, weak : weak + strong - shared]
        for _ in range(draws):
            x = rng.normal(size=(labelled, weak))
            noise = np.linalg.lstsq(x, rng.normal(size=labelled), rcond=None)[0]
            u = rng.normal(size=(unlabelled, weak + strong - shared))
            student = np.linalg.lstsq(u[:, ours], u[:, :weak] @ noise, rcond=None)[0]
            measured[j] += student @ student / draws
            teacher[j] += noise @ noise / draws
        each = 1 / (labelled - weak - 1)
        through = strong / (unlabelled - strong - 1)
        predicted[j] = each * (overlap + (weak - overlap) * through)
    error = np.abs(measured / predicted - 1)
    allowed = 5 * np.sqrt(2 / draws)
    return decided(
        float(min(allowed - error.max(), np.min(np.diff(measured)))),
        f"variance within {error.max():.1%} of the formula, allowed {allowed:.1%}; "
        f"{measured[0] / teacher[0]:.2f} of the teacher's without overlap, "
        f"{measured[-1] / teacher[-1]:.2f} with all",
        overlap=overlaps,
        variance=measured,
        predicted=predicted,
        teacher=teacher,
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the student's variance against the overlap."""
    series = outcome.series
    axes.plot(series["overlap"], series["teacher"], "k:", label="teacher")
    axes.plot(series["overlap"], series["variance"], "o", label="student")
    axes.plot(series["overlap"], series["predicted"], "-", label="formula")
    axes.set(xlabel="shared directions", ylabel="variance", title="Weak to strong")
    axes.legend()


CLAIM = Claim(
    name="weak_to_strong",
    statement=(
        "A least-squares teacher of d_w Gaussian features and n noisy labels, a least-squares "
        "student of d_s features and N of its outputs, o features in common: the student's "
        "variance is sigma^2 / (n - d_w - 1) times o + (d_w - o) d_s / (N - d_s - 1). In the "
        "directions that they share it inherits the teacher's noise; the rest is averaged over N."
    ),
    source="Own reading of arXiv 2502.05075 (variance by overlap), with exact Gaussian constants",
    varied="overlap 0 to d_w = 20; d_s = 30, n = 60, N = 200",
    check=check,
    draw=draw,
)
