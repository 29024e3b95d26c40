"""A higher temperature lowers complexity and margin both."""

from typing import TYPE_CHECKING

import numpy as np
import scipy.special

from kdtheory.claims.claim import Claim, Outcome, decided
from kdtheory.complexity import factorize

if TYPE_CHECKING:
    import matplotlib.axes


def check(*, quick: bool = False, seed: int = 0, smooth_teacher: bool = True) -> Outcome:
    """Soften a teacher's logits and measure complexity and margin of its targets.

    Args:
      quick: fewer temperatures.
      seed: of inputs and teacher.
      smooth_teacher: False breaks the premise that the student's kernel finds the size of the
        teacher's logits as natural as their signs: all labels agree (simple), sizes are noise.
    """
    temperatures = 2.0 ** np.linspace(0, 6, 7 if quick else 25)
    rng = np.random.default_rng(seed)
    n = 60
    x = np.sort(rng.uniform(-1, 1, size=n))
    distance = (x[:, None] - x) ** 2
    gram = np.exp(-distance / 0.5**2) + 1e-3 * np.eye(n)
    if smooth_teacher:
        # A teacher with more features than the student, and confident: logits up to some ten.
        teacher_gram = np.exp(-distance / 0.2**2) + 1e-3 * np.eye(n)
        labels = np.sign(np.sin(4 * x) + 0.3 * rng.normal(size=n))
        logits = 8 * teacher_gram @ factorize(teacher_gram, ridge=0.3).solve(labels)
    else:
        logits = np.exp(rng.normal(size=n)) + 6
    targets = 2 * scipy.special.expit(logits / temperatures[:, None]) - 1
    complexity = np.asarray(factorize(gram).complexity(targets).complexity)
    # The interpolant's margin with respect to the teacher's decision is the target's size; the
    # bound needs a margin that nearly all examples have.
    margin = np.quantile(np.abs(targets), 0.1, axis=1)
    falls = min(float((-np.diff(v) / v[:-1]).min()) for v in (complexity, margin))
    ratio = np.sqrt(complexity) / margin
    return decided(
        falls,
        f"smallest relative fall between two temperatures {falls:.1e}; sqrt(complexity) / margin "
        f"goes from {ratio[0]:.3g} at tau = 1 to {ratio[-1]:.3g} at tau = {temperatures[-1]:.0f}",
        temperature=temperatures,
        complexity=complexity,
        target_margin=margin,
        ratio=ratio,
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw complexity, margin and what the bound is made of, relative to temperature 1."""
    for name in ("complexity", "target_margin", "ratio"):
        values = outcome.series[name]
        axes.loglog(outcome.series["temperature"], values / values[0], "o-", label=name)
    axes.set(xlabel="temperature", ylabel="relative to temperature 1", title="Temperature")
    axes.legend(title="ratio: sqrt(complexity) / margin")


CLAIM = Claim(
    name="temperature",
    statement=(
        "A higher temperature lowers the complexity of the targets 2 sigmoid(z / tau) - 1 and "
        "their margin both, where the teacher's logits are as smooth as its decisions."
    ),
    source="Harutyunyan et al. 2023 (temperature scaling)",
    varied="temperature from 1 to 64",
    check=check,
    draw=draw,
    caveat=(
        "Not for every teacher: where its decisions agree and only the sizes of its logits "
        "vary, complexity rises with the temperature. And a fall of complexity alone says "
        "little: the margin falls with it, and sqrt(complexity) / margin, which is what the "
        "bound holds, may stay as it is."
    ),
)
