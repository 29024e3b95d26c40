"""A student of a limited teacher gains by stopping early, and never reaches zero error."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes


def check(*, quick: bool = False, seed: int = 0, exponent: float = 2.0) -> Outcome:
    """Flow a student on a random-feature teacher's outputs, in the student's eigendirections.

    Args:
      quick: fewer teachers.
      seed: of the teachers.
      exponent: of the decay of the student's eigenvalues; 0 breaks the premise that the target lies
        in the directions that the student learns first.
    """
    teachers, p = (5 if quick else 40), 200
    rng = np.random.default_rng(seed)
    values = np.arange(1.0, p + 1) ** -exponent
    target = np.zeros(p)
    target[:3] = (1.0, 0.7, 0.5)
    times = np.concatenate([np.geomspace(0.3, 1e7, 120), [np.inf]])
    learnt = 1 - np.exp(-np.outer(times, values))
    gains, least, ends = [], [], []
    shown = np.ones(times.size)
    for _ in range(teachers):
        # Features of the student's kernel's own covariance, and the best teacher that they allow.
        features = rng.normal(size=(p, 30)) * np.sqrt(np.arange(1.0, p + 1) ** -1.0)[:, None]
        basis = np.linalg.qr(features)[0]
        teacher = basis @ (basis.T @ target)
        error = float(((target - teacher) ** 2).sum())
        errors = ((target - learnt * teacher) ** 2).sum(axis=1)
        gains.append(1 - np.min(errors) / error)
        least.append(np.min(errors))
        ends.append(abs(errors[-1] / error - 1))
        shown = errors / error
    return decided(
        min(min(gains) - 0.01, min(least), 1e-9 - max(ends)),
        f"stopped at its best the student's error is {min(gains):.0%} to {max(gains):.0%} below "
        f"the teacher's, at least {min(least):.3f}; at the end it is the teacher's to "
        f"{max(ends):.0e}",
        time=times[:-1],
        error=shown[:-1],
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the student's error over time, over the teacher's."""
    axes.semilogx(outcome.series["time"], outcome.series["error"])
    axes.axhline(1, color="grey", linestyle=":", label="teacher")
    axes.set(xlabel="time", ylabel="student's error / teacher's", title="Stopping early")
    axes.legend()


CLAIM = Claim(
    name="early_stopped_student",
    statement=(
        "Gradient flow, on the population, of a student that can represent teacher and target, on "
        "the outputs of the best teacher of a few random features: at the end it is the teacher. "
        "Where the target lies in the student's top eigendirections it errs less than the teacher "
        "for a while, so stopping early enables the gain; its error is 0 at no time unless the "
        "teacher's is, since a projection g = P f has <g, S g> < |g|^2 = <g, f> for any S < 1."
    ),
    source="Own reading of arXiv 2502.03877; the last sentence is our proof of its claim",
    varied="time, teacher",
    check=check,
    draw=draw,
)
