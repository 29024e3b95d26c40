"""Hard labels correct an imperfect teacher's wrong decisions, and only an imperfect one's."""

from typing import TYPE_CHECKING

import numpy as np
import scipy.optimize
import scipy.special

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.claims.linearised_student import (
    draw_inputs,
    draw_network,
    draw_teacher,
    effective_logits,
    features,
)

if TYPE_CHECKING:
    import matplotlib.axes

_RATIOS = np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
_TOLERANCE = 1e-4
_STANDARD_ERRORS = 3.0


def check(*, quick: bool = False, seed: int = 0, teacher_bias: float = 1.0) -> Outcome:
    """Distil linearised students from a biased teacher on soft and hard labels together.

    Args:
      quick: fewer draws and examples.
      seed: of networks, teachers and inputs.
      teacher_bias: size of what the teacher's weights have in a wrong direction, relative to the
        right ones; 0 breaks the premise that the teacher is imperfect: then hard labels do not
        help.
    """
    size, draws = (128, 6) if quick else (512, 30)
    rng = np.random.default_rng(seed)
    risk = np.zeros((draws, _RATIOS.size))
    wrong = np.zeros((draws, _RATIOS.size))
    gap = 0.0
    for i in range(draws):
        network = draw_network(rng, 256)
        truth = draw_teacher(rng, network)
        seen = features(network, draw_inputs(rng, size))
        fresh = features(network, draw_inputs(rng, 2_000))
        # The wrong direction: another function of the inputs, as smooth as the right one.
        other = draw_inputs(rng, 2_000)
        phi = features(network, other)
        bias = phi.T @ np.sign(other[:, 2])
        teacher = truth + teacher_bias * 4 * bias / np.std(phi @ bias)
        labels, logits = (seen @ truth > 0).astype(np.float64), seen @ teacher
        factor = np.linalg.inv(np.linalg.cholesky(seen @ seen.T))
        # Both sides of the decision on fresh inputs: by the kernel, and by the right weights.
        cross, decision = fresh @ seen.T, fresh @ truth > 0
        for j, ratio in enumerate(_RATIOS):
            target = effective_logits(logits, labels, float(ratio))
            wrong[i, j] = np.mean((target > 0) != (labels > 0))
            predicted = cross @ (factor.T @ (factor @ target))
            risk[i, j] = np.mean((predicted > 0) != decision)
        if i == 0:
            # Milder logits: the gradient of saturated ones vanishes before they are reached.
            few = slice(0, 24)
            gap = max(gap, _optimised_gap(seen[few], logits[few] / 4, labels[few], 0.7))
    mean, at_half = risk.mean(axis=0), int(np.argmin(np.abs(_RATIOS - 0.5)))
    gain = risk[:, 0] - risk[:, at_half]
    score = gain.mean() / (gain.std(ddof=1) / np.sqrt(draws) + 1e-12)
    return decided(
        min(score - _STANDARD_ERRORS, 1 - gap / _TOLERANCE),
        f"risk {mean[0]:.3f} on the teacher alone, {mean[at_half]:.3f} with half hard labels, "
        f"{np.min(mean):.3f} at soft ratio {_RATIOS[np.argmin(mean)]:g}: the gain at one half is "
        f"{score:.1f} standard errors (needed {_STANDARD_ERRORS:.0f}); wrong targets "
        f"{wrong[:, 0].mean():.0%} and {wrong[:, at_half].mean():.0%}; optimised logits differ "
        f"from the effective ones by {gap:.0e} (allowed {_TOLERANCE:.0e})",
        soft_ratio=_RATIOS,
        risk=mean,
        risk_error=risk.std(axis=0, ddof=1) / np.sqrt(draws),
        wrong_targets=wrong.mean(axis=0),
    )


def _optimised_gap(phi: np.ndarray, logits: np.ndarray, labels: np.ndarray, ratio: float) -> float:
    """Minimise the loss of both kinds of labels from w0, and compare with the effective logits."""
    soft = scipy.special.expit(logits)
    target = ratio * soft + (1 - ratio) * labels

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = phi @ weights
        # CE(t, z) = ln(1 + e^z) - t z, linear in t: both kinds of labels at once.
        value = float((np.logaddexp(0, z) - target * z).sum())
        return value, phi.T @ (scipy.special.expit(z) - target)

    start = np.zeros(phi.shape[1])
    options = {"maxiter": 50_000, "maxfun": 100_000, "ftol": 1e-16, "gtol": 1e-10}
    found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    wanted = effective_logits(logits, labels, ratio)
    shortest = phi.T @ np.linalg.solve(phi @ phi.T, wanted)
    return max(
        float(np.abs(phi @ found - wanted).max() / np.abs(wanted).max()),
        float(np.linalg.norm(found - shortest) / np.linalg.norm(shortest)),
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the student's risk and the share of wrong targets against the soft ratio."""
    series = outcome.series
    axes.errorbar(
        series["soft_ratio"], series["risk"], series["risk_error"], fmt="o-", label="student's risk"
    )
    axes.plot(series["soft_ratio"], series["wrong_targets"], "s--", label="wrong targets")
    axes.set(xlabel="soft ratio (1: teacher alone)", title="Imperfect teacher")
    axes.legend()


CLAIM = Claim(
    name="imperfect_teacher",
    statement=(
        "Trained on soft and hard labels together, a linearised student converges to effective "
        "logits, right wherever rho p + 1 - rho > 1/2 (p the teacher's probability of the true "
        "class), so everywhere for a soft ratio rho <= 1/2; with a teacher that is wrong in places "
        "this lowers the student's risk."
    ),
    source="Ji and Zhu 2020, Knowledge distillation in wide neural networks (imperfect teacher)",
    varied="soft ratio from 1 to 0.1; network, teacher and inputs",
    check=check,
    draw=draw,
    caveat=(
        "Hard labels do not help with any teacher: with a perfect one they raise the student's "
        "risk."
    ),
)
