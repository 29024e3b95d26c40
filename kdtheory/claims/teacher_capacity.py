"""The student's error is U-shaped in the teacher's capacity: a better teacher, a worse student."""

from typing import TYPE_CHECKING

import numpy as np
import scipy.optimize

from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes

#: What rounding does not do.
_LEAST = 1e-6


def check(*, quick: bool = False, seed: int = 0, limited: bool = True) -> Outcome:
    """Fit teachers of growing capacity within a norm, and a student to each.

    Args:
      quick: fewer targets.
      seed: of the inputs and the targets.
      limited: whether the teacher's norm is; without a limit the error does not rise again.
    """
    rng = np.random.default_rng(seed)
    p, student, count = 24, 6, 5 if quick else 40
    features = np.linalg.qr(rng.normal(size=(100, p)))[0]
    falls, rises, closed = [], [], []
    for _ in range(count):
        alpha = rng.choice([-1.0, 1.0], size=p) * np.sort(rng.uniform(0.2, 1.0, size=p))[::-1]
        target = features @ alpha
        most = 0.8 * float(np.linalg.norm(alpha[:student])) if limited else np.inf
        teachers = [fit_within(features[:, :m], target, most) for m in range(1, p + 1)]
        students = [fit_within(features[:, :student], teacher, most) for teacher in teachers]
        of_teacher, of_student = (
            np.array([((target - one) ** 2).sum() for one in fits]) for fits in (teachers, students)
        )
        # The squares of alpha beyond the student's reach, and what the norm takes off its own.
        norms = np.sqrt(np.cumsum(alpha**2))
        shares = np.minimum(1.0, most / norms)
        reached = norms[np.minimum(np.arange(p), student - 1)]
        exact = (alpha**2).sum() - reached**2 * (1 - (1 - shares) ** 2)
        closed.append(np.abs(of_student - exact).max())
        falls.append(min(-np.diff(of_teacher).max(), -np.diff(of_student[:student]).max()))
        rises.append(np.diff(of_student[student - 1 :]).min())
    return decided(
        min(min(falls) - _LEAST, min(rises) - _LEAST, 1e-9 - max(closed)),
        f"the teacher's squared error falls by at least {min(falls):.1e} a direction, the "
        f"student's too up to its own {student}, and rises by at least {min(rises):.1e} beyond "
        f"(needed {_LEAST:g}); fits and closed form differ by {max(closed):.0e}, allowed 1e-9",
        capacity=np.arange(1, p + 1),
        teacher=of_teacher,
        student=of_student,
    )


def fit_within(features: np.ndarray, values: np.ndarray, most: float) -> np.ndarray:
    """Return the values of the least-squares fit whose weights have at most a norm.

    Where the limit binds it is the ridge fit of that norm.

    >>> fit_within(np.eye(2), np.array([3.0, 4.0]), 1.0).round(6)
    array([0.6, 0.8])
    """
    inner, against = features.T @ features, features.T @ values

    def weights(ridge: float) -> np.ndarray:
        return np.linalg.solve(inner + ridge * np.eye(len(inner)), against)

    if np.linalg.norm(weights(0.0)) <= most:
        return features @ weights(0.0)
    # ||(A + ridge)^-1 b|| <= ||b|| / ridge: at ||b|| / most the norm is within the limit.
    ridge = scipy.optimize.brentq(
        lambda value: np.linalg.norm(weights(value)) - most, 0, np.linalg.norm(against) / most,
        xtol=1e-14, rtol=1e-14,
    )  # fmt: skip
    return features @ weights(ridge)


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw both errors over the teacher's capacity."""
    for name in ("teacher", "student"):
        axes.plot(outcome.series["capacity"], outcome.series[name], label=name)
    axes.set(
        xlabel="directions of the teacher", ylabel="squared error", title="Capacity of the teacher"
    )
    axes.legend()


CLAIM = Claim(
    name="teacher_capacity",
    statement=(
        "Target sum_i a_i phi_i of orthonormal phi_i; teacher: the best function of the first m of "
        "them whose norm is at most T; student: the best fit to the teacher by the first n, within "
        "the same norm. The teacher's error falls in m. The student's falls up to m = n and rises "
        "beyond while T binds: the teacher spends its norm on directions that the student lacks, "
        "and shows it a share T / ||a_1..m|| of those that it has. Without a limit to the norm it "
        "does not rise."
    ),
    source="Own reading of arXiv 2502.08606, appendix C.1, which was not at hand; our closed form",
    varied="the teacher's capacity, target",
    check=check,
    draw=draw,
)
