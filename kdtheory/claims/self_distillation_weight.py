"""The best weight of ridge self-distillation, and its sign: a step in the ridge."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes


def check(*, quick: bool = False, seed: int = 0, student_factor: float = 1.0) -> Outcome:
    """Compute the risk of one self-distillation exactly, over ridges and weights.

    Args:
      quick: fewer problems and ridges.
      seed: of the problems.
      student_factor: breaks the premise that teacher and student have one ridge: the student's is
        so many times the teacher's.
    """
    problems, count = (4, 9) if quick else (20, 25)
    rng = np.random.default_rng(seed)
    ridges = np.geomspace(1e-2, 1e3, count)
    signs, gains, least, shown = [], [], [], None
    for _ in range(problems):
        n, p = 40, 20
        scale = np.arange(1, p + 1) ** -rng.uniform(0.3, 1.0)
        x, beta = rng.normal(size=(n, p)) * scale, rng.normal(size=p)
        y = x @ beta + rng.uniform(0.5, 2) * rng.normal(size=n)
        covariance = scale**2
        weights = []
        for ridge in ridges:
            teacher = _ridge(x, y, ridge)
            on_labels = _ridge(x, y, student_factor * ridge)
            # Targets (1 - w) y + w f_T: the student moves along `turn` as w grows.
            turn = _ridge(x, x @ teacher, student_factor * ridge) - on_labels
            step = 1e-4 * ridge
            slope = (
                _risk(_ridge(x, y, ridge + step), beta, covariance)
                - _risk(_ridge(x, y, ridge - step), beta, covariance)
            ) / (2 * step)
            best = float((beta - on_labels) @ (covariance * turn) / (turn @ (covariance * turn)))
            plain = _risk(on_labels, beta, covariance)
            gain = plain - _risk(on_labels + best * turn, beta, covariance)
            # With one ridge the risk's slope in w is ridge times its slope in the ridge.
            predicted = -ridge * slope / (2 * float(turn @ (covariance * turn)))
            weights.append(best)
            signs.append(abs(best - predicted) / (1e-6 + abs(best)))
            gains.append(gain / plain)
        least.append(min(gains))
        shown = weights if shown is None else shown
    worst = float(max(signs))
    return decided(
        min(1e-3 - worst, min(least)),
        f"best weight and -ridge R' / (2 |turn|^2) differ by {worst:.1e} of it, allowed 1e-3; the "
        f"best weight lowers the risk by {min(gains):.1e} to {max(gains):.0%}",
        ridge=ridges,
        best_weight=np.array(shown),
    )


def _ridge(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    return np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)


def _risk(weights: np.ndarray, beta: np.ndarray, covariance: np.ndarray) -> float:
    """Return the expected squared error on new inputs, without the labels' own noise."""
    return float(((weights - beta) ** 2 * covariance).sum())


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the best weight of the first problem against the ridge."""
    axes.semilogx(outcome.series["ridge"], outcome.series["best_weight"], "o-")
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.set_yscale("symlog")
    axes.set(xlabel="ridge", ylabel="best weight of the teacher", title="Ridge self-distillation")


CLAIM = Claim(
    name="self_distillation_weight",
    statement=(
        "Ridge self-distillation with targets (1 - w) y + w f_ridge(X), teacher and student of one "
        "ridge: the student is f_ridge + w ridge d f_ridge / d ridge, so for every sample the best "
        "w in the reals is -ridge R'(ridge) / (2 E (ridge d f / d ridge)^2), R the risk. It is "
        "positive where more ridge would help and negative where less would, and lowers the risk "
        "wherever R' is not 0."
    ),
    source="Own reading and proof of the result in arXiv 2602.17565, which was not at hand",
    varied="ridge over five decades, spectrum, noise",
    check=check,
    draw=draw,
    caveat=(
        "Where ridge is above its best value the best weight of the teacher is negative: targets "
        "between label and teacher (w in [0, 1]) do not help there."
    ),
)
