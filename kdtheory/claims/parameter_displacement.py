"""How far a linearised student's weights have moved bounds its disagreement with the teacher."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.claims.linearised_student import (
    displacements,
    draw_inputs,
    draw_network,
    draw_teacher,
    features,
)

if TYPE_CHECKING:
    import matplotlib.axes

_TOLERANCE = 1e-6


def check(*, quick: bool = False, seed: int = 0, teacher_noise: float = 0.0) -> Outcome:
    """Distil linearised ReLU networks from a perfect teacher on growing samples.

    Args:
      quick: fewer draws and examples.
      seed: of networks, teachers and inputs.
      teacher_noise: breaks the premise that the teacher is perfect, that is, linear in the
        student's features: the deviation of noise in its logits on the sample.
    """
    sizes = [4, 8, 16, 32, 64, 128] if quick else [4, 8, 16, 32, 64, 128, 256, 512]
    draws = 3 if quick else 10
    rng = np.random.default_rng(seed)
    share, risk, bound = (np.zeros((draws, len(sizes))) for _ in range(3))
    identity, fall, excess = 0.0, 0.0, -np.inf
    for i in range(draws):
        network = draw_network(rng, 256)
        teacher = draw_teacher(rng, network)
        length = np.linalg.norm(teacher)
        seen = features(network, draw_inputs(rng, sizes[-1]))
        fresh = features(network, draw_inputs(rng, 2_000))
        taught = fresh @ teacher
        cosines = np.abs(taught) / (np.linalg.norm(fresh, axis=1) * length)
        gram = seen @ seen.T
        logits = seen @ teacher + teacher_noise * rng.normal(size=len(seen))
        moved = displacements(gram, logits)
        fall = max(fall, float(-np.diff(moved).min() / length))
        excess = max(excess, float(moved.max() / length - 1))
        for j, n in enumerate(sizes):
            weights = seen[:n].T @ np.linalg.solve(gram[:n, :n], logits[:n])
            cosine = weights @ teacher / (np.linalg.norm(weights) * length)
            share[i, j] = moved[n - 1] / length
            identity = max(identity, abs(float(cosine - share[i, j])))
            risk[i, j] = np.mean(np.sign(fresh @ weights) != np.sign(taught))
            # An angle of at least beta = arcsin(share) is a cosine of at most sqrt(1 - share^2).
            limit = np.sqrt(max(0.0, 1 - share[i, j] ** 2)) + 1e-9
            bound[i, j] = np.mean(cosines <= limit)
    broken = max(identity, fall, excess)
    slack = float(np.min(bound - risk))
    return decided(
        slack if broken <= _TOLERANCE else min(slack, -broken),
        f"cosine to the teacher and share of its displacement differ by {identity:.0e}, the share "
        f"exceeds 1 by {max(excess, 0.0):.0e} (allowed {_TOLERANCE:.0e}); at n = {sizes[-1]} the "
        f"share is {share[:, -1].mean():.3f}, disagreement {risk[:, -1].mean():.4f}, bound "
        f"{bound[:, -1].mean():.2f}",
        examples=sizes,
        share=share.mean(axis=0),
        risk=risk.mean(axis=0),
        bound=bound.mean(axis=0),
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the share of the teacher's displacement, the disagreement and its bound."""
    series = outcome.series
    for name, label in (
        ("share", "share of the teacher's displacement"),
        ("bound", "bound p(beta_n)"),
        ("risk", "disagreement with the teacher"),
    ):
        axes.loglog(series["examples"], series[name], "o-", label=label)
    axes.set(xlabel="examples", ylabel="share", title="Parameter displacement")
    axes.legend()


CLAIM = Claim(
    name="parameter_displacement",
    statement=(
        "A linearised student that starts at 0 and is distilled to convergence from a teacher "
        "linear in the same features, of displacement D, moves by D_n <= D, more with every "
        "example; cos(angle of the two displacements) = D_n / D; and it disagrees with the teacher "
        "at most with the probability that phi(x) has an angle of at least arcsin(D_n / D) with "
        "the teacher's displacement."
    ),
    source="Ji and Zhu 2020, Knowledge distillation in wide neural networks (transfer risk bound)",
    varied="number of examples; network, teacher and inputs",
    check=check,
    draw=draw,
    caveat=(
        "The angle to the teacher follows from the displacement only where the teacher is "
        "linear in the student's features; noise in its logits makes the student move further "
        "than the teacher ever did."
    ),
)
