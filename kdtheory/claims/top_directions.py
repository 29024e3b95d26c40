"""Distillation exaggerates gradient descent's bias towards the top eigendirections."""

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes


def check(*, quick: bool = False, seed: int = 0, teacher_time: float = 20.0) -> Outcome:
    """Flow on labels and on an early-stopped teacher's outputs, and match the top direction.

    Args:
      quick: fewer kernels.
      seed: of inputs and labels.
      teacher_time: when the teacher stops, over 1 / its largest eigenvalue; 1e12 breaks the premise
        that it has not converged.
    """
    kernels, n = (3, 30) if quick else (20, 60)
    rng = np.random.default_rng(seed)
    times = np.geomspace(0.05, 0.9, 8)
    smallest, last = np.inf, np.ones(n)
    for _ in range(kernels):
        x = rng.normal(size=(n, 4))
        gram = np.exp(-((x[:, None] - x) ** 2).sum(-1) / 4) + 1e-3 * np.eye(n)
        gram /= np.linalg.norm(gram, 2)
        values, vectors = np.linalg.eigh(gram)
        y = rng.choice([-1.0, 1.0], size=n)
        teacher = y - scipy.linalg.expm(-teacher_time * gram) @ y
        for share in times:
            # The time at which the top direction of either student has reached this share of y's.
            reached = {}
            for name, target in (("labels", y), ("teacher", teacher)):
                top = float(vectors[:, -1] @ target) / float(vectors[:, -1] @ y)
                stop = -np.log1p(-share / top) / values[-1] if share < top else np.inf
                fit = target - scipy.linalg.expm(-stop * gram) @ target
                reached[name] = (vectors.T @ fit) / (vectors.T @ y)
            ratio = reached["teacher"][:-1] / reached["labels"][:-1]
            smallest = min(smallest, float(1 - ratio.max()))
            last = reached["teacher"] / reached["labels"]
    return decided(
        smallest - 1e-6,
        f"at one value of the top direction all others are behind those of the labels' student by "
        f"{smallest:.1e} of theirs or more; the last by {1 - last[0]:.0%}",
        direction=np.arange(1, n + 1),
        ratio=last[::-1],
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw how far the distilled student is in each direction, over the labels' student."""
    axes.semilogx(outcome.series["direction"], outcome.series["ratio"], "o-", markersize=3)
    axes.set(
        xlabel="direction, largest eigenvalue first",
        ylabel="teacher's student / labels' student",
        title="Where the top direction is equally far",
    )


CLAIM = Claim(
    name="top_directions",
    statement=(
        "Gradient flow with a fixed kernel: stop the student of an early-stopped teacher, and a "
        "student of the labels, where both have learnt the same of the top eigendirection. Then "
        "the teacher's student has learnt less of every other direction: it converges faster "
        "along the top ones, relatively."
    ),
    source="Own reading of arXiv 2301.12923, of its part on eigendirections",
    varied="stopping time, kernel, labels",
    check=check,
    draw=draw,
    caveat=(
        "A teacher that has converged changes nothing. What the same paper says of confidence is "
        "the claim exaggerated_confidence."
    ),
)
