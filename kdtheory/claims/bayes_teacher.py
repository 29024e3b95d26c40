"""A teacher that knows the Bayes probabilities lowers the variance of the empirical risk."""

from typing import TYPE_CHECKING

import numpy as np
import scipy.special

from kdtheory.claims.claim import Claim, Outcome, decided

if TYPE_CHECKING:
    import matplotlib.axes

_STANDARD_ERRORS = 5.0


def check(*, quick: bool = False, seed: int = 0, teacher_bias: float = 0.0) -> Outcome:
    """Draw many samples and compare the empirical risk by labels and by Bayes probabilities.

    Args:
      quick: fewer draws.
      seed: of distribution and draws.
      teacher_bias: breaks the premise that the teacher knows the Bayes probabilities: mixes that
        share of a wrong class into them.
    """
    draws, classes, kinds = (4_000 if quick else 40_000), 5, 30
    sizes = np.array([10, 30, 100])
    rng = np.random.default_rng(seed)
    bayes = scipy.special.softmax(2 * rng.normal(size=(kinds, classes)), axis=1)
    loss = -scipy.special.log_softmax(rng.normal(size=(kinds, classes)), axis=1)
    teacher = (1 - teacher_bias) * bayes + teacher_bias * np.eye(classes)[loss.argmax(axis=1)]
    conditional = (bayes * loss).sum(axis=1)
    within = (bayes * loss**2).sum(axis=1) - conditional**2
    risk, between = conditional.mean(), conditional.var()
    by_labels, by_teacher, margin = [], [], _STANDARD_ERRORS
    taught = (teacher * loss).sum(axis=1)
    cumulative = bayes.cumsum(axis=1)
    for size in sizes:
        x = rng.integers(0, kinds, size=(draws, size))
        y = (rng.uniform(size=x.shape)[..., None] > cumulative[x][..., :-1]).sum(axis=-1)
        with_labels, with_teacher = loss[x, y].mean(axis=1), taught[x].mean(axis=1)
        by_labels.append(with_labels.var())
        by_teacher.append(with_teacher.var())
        for values, variance in (
            (with_labels, (within.mean() + between) / size),
            (with_teacher, between / size),
        ):
            # Both are unbiased, and both variances are known; a sample variance has a relative
            # standard error of about sqrt(2 / draws).
            margin = min(
                margin,
                _STANDARD_ERRORS - abs(values.mean() - risk) / np.sqrt(variance / draws),
                _STANDARD_ERRORS - abs(values.var() / variance - 1) / np.sqrt(2 / draws),
            )
    ratio = float(np.max(np.divide(by_teacher, by_labels)))
    return decided(
        min(float(margin), 10 * (1 - ratio)),
        f"variance by the teacher at most {ratio:.2f} of that by labels; means and variances "
        f"within {_STANDARD_ERRORS - margin:.1f} standard errors of theory (allowed "
        f"{_STANDARD_ERRORS:.0f})",
        examples=sizes,
        variance_labels=by_labels,
        variance_teacher=by_teacher,
    )


def draw(outcome: Outcome, axes: "matplotlib.axes.Axes") -> None:
    """Draw both variances against the size of the sample."""
    series = outcome.series
    axes.loglog(series["examples"], series["variance_labels"], "o-", label="labels")
    axes.loglog(series["examples"], series["variance_teacher"], "s-", label="Bayes teacher")
    axes.set(xlabel="examples", ylabel="variance of the empirical risk", title="Bayes teacher")
    axes.legend()


CLAIM = Claim(
    name="bayes_teacher",
    statement=(
        "The empirical risk of a fixed predictor by Bayes probabilities is unbiased, and its "
        "variance is that by labels less E[Var(loss | x)] / n."
    ),
    source="Menon, Rawat, Reddi, Kim, Kumar 2021, a statistical perspective on distillation",
    varied="size of the sample",
    check=check,
    draw=draw,
)
