"""An online teacher is never more complex than the offline one, and meets it at the end."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.complexity import eigendecompose, factorize

if TYPE_CHECKING:
    import matplotlib.axes


def check(*, quick: bool = False, seed: int = 0, related_kernels: bool = True) -> Outcome:
    """Train teachers by gradient flow and measure their checkpoints by a student's kernel.

    Args:
      quick: fewer seeds and checkpoints.
      seed: of inputs and labels.
      related_kernels: False breaks the premise that student and teacher learn in a like order:
        the teacher learns two examples one after the other that the student takes for one.
    """
    repetitions, checkpoints = (3, 10) if quick else (10, 30)
    times = np.geomspace(1e-2, 1e3, checkpoints)
    online = np.zeros((repetitions, checkpoints))
    for i in range(repetitions):
        if related_kernels:
            rng = np.random.default_rng([seed, i])
            x = rng.normal(size=(40, 3))
            labels = np.where(x[:, 0] + 0.5 * rng.normal(size=40) > 0, 1.0, -1.0)
            distance = ((x[:, None] - x) ** 2).sum(-1)
            teacher = eigendecompose(np.exp(-distance) + 0.01 * np.eye(40))
            # The weaker student: a wider kernel, with fewer directions of any size.
            student = np.exp(-distance / 4) + 0.01 * np.eye(40)
        else:
            labels = np.ones(2)
            teacher = eigendecompose(np.diag([10.0, 0.01]))
            student = np.array([[1.0, 0.99], [0.99, 1.0]])
        learnt = -np.expm1(-times[:, None] * teacher.eigenvalues)
        predictions = (learnt * (teacher.eigenvectors.T @ labels)) @ teacher.eigenvectors.T
        online[i] = factorize(student).complexity(predictions).complexity
    offline = online[:, -1:]
    excess = float(np.max(online / offline)) - 1
    return decided(
        1e-9 - excess,
        f"online over offline complexity at most {1 + excess:.3f} over {repetitions} teachers; "
        f"{float((online[:, checkpoints // 2] / offline[:, 0]).mean()):.2f} half way",
        time=times,
        online_over_offline=(online / offline).mean(axis=0),
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the online teacher's complexity relative to the offline one's."""
    axes.semilogx(outcome.series["time"], outcome.series["online_over_offline"], "o-")
    axes.axhline(1, color="grey", linestyle=":")
    axes.set(xlabel="training time", ylabel="online / offline complexity", title="Online teacher")


CLAIM = Claim(
    name="online_teacher",
    statement=(
        "Along training, the online teacher's targets are no more complex for the student than "
        "the offline teacher's, where student and teacher learn directions in a like order."
    ),
    source="Harutyunyan et al. 2023 (online distillation)",
    varied="checkpoint of the teacher; inputs and labels",
    check=check,
    draw=draw,
    caveat=(
        "It is no theorem: a teacher that learns first what the student can only learn last "
        "is, on the way, far more complex than at the end."
    ),
)
