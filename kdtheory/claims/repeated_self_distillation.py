"""Each further round of self-distillation is a degree of freedom of the spectral filter."""

from typing import TYPE_CHECKING

import numpy as np

from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes


def check(*, quick: bool = False, seed: int = 0, distinct: bool = True) -> Outcome:
    """Find the best weights of k rounds on a fixed design, and compare with any linear filter.

    Args:
      quick: fewer problems.
      seed: of the signals.
      distinct: False breaks the premise that the eigenvalues differ.
    """
    rank, rounds = 5, range(6)
    problems = 3 if quick else 20
    rng = np.random.default_rng(seed)
    ridges = np.geomspace(1e-2, 1e2, 60)
    excess, gain = [], []
    for _ in range(problems):
        values = np.linspace(1.4, 0.6, rank) if distinct else np.ones(rank)
        # The signal lies in the first direction, the noise in all.
        signal = np.r_[4.0 + rng.uniform(), np.zeros(rank - 1)]
        noise = np.ones(rank)
        oracle = float((signal**2 * noise / (signal**2 + noise)).sum())
        best = [
            min(_best_risk(values / (values + ridge), signal, noise, k) for ridge in ridges)
            for k in rounds
        ]
        excess.append(np.array(best) / oracle - 1)
        gain.append(best[0] / best[-1])
    curve = np.array(excess)
    # The last step before the oracle's risk may be as small as numbers allow.
    falls = float(np.min(curve[:, :-2] - curve[:, 1:-1]))
    return decided(
        min(falls, 1e-3 - float(np.max(curve[:, -1])), min(gain) - 2),
        f"best risk falls in every round (least fall {falls:.1e}), is the best linear filter's to "
        f"{np.max(curve[:, -1]):.1e} after {rank} rounds, {min(gain):.1f} to {max(gain):.1f} times "
        "below the best ridge",
        rounds=list(rounds),
        excess=curve.mean(axis=0),
    )


def _best_risk(shrink: np.ndarray, signal: np.ndarray, noise: np.ndarray, rounds: int) -> float:
    """Return the least risk over the weights of `rounds` rounds, on the design itself.

    Round j fits (1 - w_j) y + w_j f_(j-1) with the shrinkage a: the filters reached are a p(a), p
    of degree k with p(1) = 1, that is a - a (1 - a) q(a) with any q of degree k - 1.
    """
    scale = np.sqrt(signal**2 + noise)
    wanted = signal**2 / (signal**2 + noise)
    left = float((signal**2 * noise / (signal**2 + noise)).sum())
    if rounds == 0:
        return left + float((scale**2 * (shrink - wanted) ** 2).sum())
    # Powers about the mean, for their condition.
    powers = (shrink - shrink.mean())[:, None] ** np.arange(rounds)
    columns = scale[:, None] * (shrink * (1 - shrink))[:, None] * powers
    target = scale * (shrink - wanted)
    columns = columns / np.linalg.norm(columns, axis=0).clip(1e-300)
    solution = np.linalg.lstsq(columns, target, rcond=1e-13)[0]
    return left + float(((columns @ solution - target) ** 2).sum())


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw the risk beyond the best linear filter's against the rounds."""
    axes.semilogy(outcome.series["rounds"], np.maximum(outcome.series["excess"], 1e-12), "o-")
    axes.set(
        xlabel="rounds", ylabel="risk over the best filter's, less 1", title="Rounds and freedom"
    )


CLAIM = Claim(
    name="repeated_self_distillation",
    statement=(
        "On a fixed design k rounds of ridge self-distillation with free weights reach the "
        "spectral filters a p(a), a = s / (s + ridge), p of degree k with p(1) = 1: with "
        "distinct eigenvalues the best risk falls with every round until, after as many as there "
        "are eigenvalues, it is that of the best linear filter, up to rank times below the best "
        "ridge's. With equal eigenvalues there is nothing to gain."
    ),
    source="Own reading of arXiv 2407.04600, with our proof of the filters that are reached",
    varied="rounds, signal; a signal in one direction of five",
    check=check,
    draw=draw,
    caveat=(
        "The weights that achieve it are not in [0, 1], and depend on the signal: the gain is what "
        "could be had, not what a fixed rule gives."
    ),
)
