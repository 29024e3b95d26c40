"""Soft labels of a perfect teacher are data-efficient: the student's displacement stops growing."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.claims.linearised_student import (
    displacements,
    draw_inputs,
    draw_network,
    draw_teacher,
    effective_logits,
    features,
)

if TYPE_CHECKING:
    import matplotlib.axes

_RATIOS = np.array([1.0, 0.9, 0.5, 0.1])
_STANDARD_ERRORS = 3.0


def check(*, quick: bool = False, seed: int = 0, teacher_noise: float = 0.0) -> Outcome:
    """Measure I(n) = n (ln E D_(n+1) - ln E D_n), D_n the displacement, for several soft ratios.

    Args:
      quick: fewer draws and examples.
      seed: of networks, teachers and inputs.
      teacher_noise: breaks the premise that the teacher is perfect: the deviation of noise in the
        logits that it gives (the hard labels stay those of the teacher without noise).
    """
    size, draws = (128, 8) if quick else (512, 20)
    rng = np.random.default_rng(seed)
    moved = np.zeros((draws, _RATIOS.size, size))
    for i in range(draws):
        network = draw_network(rng, 256)
        teacher = draw_teacher(rng, network)
        phi = features(network, draw_inputs(rng, size))
        gram, clean = phi @ phi.T, phi @ teacher
        labels = (clean > 0).astype(np.float64)
        logits = clean + teacher_noise * rng.normal(size=size)
        for j, ratio in enumerate(_RATIOS):
            moved[i, j] = displacements(gram, effective_logits(logits, labels, float(ratio)))
    smallest = float(np.min(np.diff(moved, axis=2) / moved[..., :-1]))
    late = _mean_inefficiency(moved, size // 2, size)
    early = _mean_inefficiency(moved, size // 8, size // 4)
    # Leaving out one draw after the other gives the standard errors, of paired differences.
    every = np.arange(draws)
    without = np.stack([_mean_inefficiency(moved[every != i], size // 2, size) for i in every])
    steps, spread = np.diff(late), np.diff(without, axis=1)
    error = np.sqrt((draws - 1) * spread.var(axis=0))
    score = float(np.min(steps / error))
    examples = np.unique(np.geomspace(4, size, 30).astype(int))
    return decided(
        min(score - _STANDARD_ERRORS, 10 * float(early[0] - late[0]))
        if smallest >= 0
        else smallest,
        f"mean I(n) from n = {size // 2} to {size}: "
        + ", ".join(f"{v:.2f} at soft ratio {r:g}" for v, r in zip(late, _RATIOS, strict=True))
        + f"; each step at least {score:.1f} standard errors (needed "
        f"{_STANDARD_ERRORS:.0f}); for the teacher alone it was {early[0]:.2f} at n = {size // 8} "
        f"to {size // 4}",
        examples=examples,
        soft_ratio=_RATIOS,
        displacement=moved.mean(axis=0)[:, examples - 1],
        inefficiency=late,
        inefficiency_error=np.sqrt((draws - 1) * without.var(axis=0)),
    )


def _mean_inefficiency(moved: np.ndarray, first: int, last: int) -> np.ndarray:
    """Mean of I(n) over first <= n < last, weighted by 1 / n, for each soft ratio.

    The sum of I(n) / n telescopes to ln(E D_last / E D_first).
    """
    mean = moved.mean(axis=0)
    weight = (1 / np.arange(first, last)).sum()
    return np.log(mean[:, last - 1] / mean[:, first - 1]) / weight


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the displacement against the number of examples for each soft ratio."""
    series = outcome.series
    for i, ratio in enumerate(series["soft_ratio"]):
        axes.loglog(
            series["examples"],
            series["displacement"][i],
            label=f"{ratio:g}: I = {series['inefficiency'][i]:.2f}",
        )
    axes.set(xlabel="examples", ylabel="displacement of the weights", title="Data inefficiency")
    axes.legend(title="soft ratio")


CLAIM = Claim(
    name="data_inefficiency",
    statement=(
        "The data inefficiency I(n) = n (ln E D_(n+1) - ln E D_n) of a linearised student is never "
        "negative; with a perfect teacher's soft labels alone it falls towards 0, and the more "
        "weight hard labels have the larger it is."
    ),
    source="Ji and Zhu 2020, Knowledge distillation in wide neural networks (data inefficiency)",
    varied="soft ratio from 1 to 0.1; number of examples; network, teacher and inputs",
    check=check,
    draw=draw,
    caveat=(
        "It is the teacher's being perfect that makes soft labels efficient, not their being "
        "soft: with noise in the teacher's logits every soft ratio is equally inefficient."
    ),
)
