"""What the rows say about the theory's predictions: seen, not seen, or undecided.

The predictions are hypotheses from Harutyunyan et al. (ICLR 2023, arXiv 2301.12245), but for the
one on the matched arm, which is ours; nothing here expects them to hold. Each is a number a seed (a
paired difference, or a rank correlation over the arms) whose sign the hypothesis predicts, and the
verdict is read off its confidence interval.
"""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from kdtheory.report.arms import RunGroup, arms_in, group_rows
from kdtheory.report.seeds import (
    complexity_points,
    final_values,
    mean_sd,
    measured_supervisions,
    own_complexity,
    reference_student,
)
from kdtheory.rows import Row, Supervision

Verdict: TypeAlias = Literal["seen", "not seen", "undecided"]

#: What a quantity was measured of: an arm, or a run.
Measured = TypeVar("Measured")

#: How a verdict is reached, for a reader of the findings.
RULE = (
    "Rule: each hypothesis predicts the sign of one number per seed (differences are paired: both"
    " values come from the same seed). “Seen” means that the 95 % t-interval of its mean over seeds"
    " lies wholly on the predicted side, “not seen” that it lies wholly on the other, “undecided”"
    " that it holds zero, or that there is one seed only and so no error. Complexities are compared"
    " on one student (named) and averaged over the measuring points of its training. Intervals are"
    " not corrected for the number of hypotheses."
)

_CONFIDENCE = 0.95


class Finding(NamedTuple):
    """One hypothesis held against the rows of one run group.

    - `group`: the runs it is about.
    - `topic`: "complexity order", "temperature", "accuracy" or "over the arms".
    - `hypothesis`: the prediction, in words.
    - `verdict`: "seen", "not seen" or "undecided"; `RULE` says how.
    - `effect`: mean over seeds of the number whose sign is predicted, positive where the hypothesis
      holds; a fraction for accuracies.
    - `half_width`: half the 95 % interval of `effect`; None with one seed.
    - `seeds`: how many seeds entered.
    - `evidence`: the same in words.
    """

    group: RunGroup
    topic: str
    hypothesis: str
    verdict: Verdict
    effect: float
    half_width: float | None
    seeds: int
    evidence: str


def findings(rows: Sequence[Row]) -> list[Finding]:
    """Hold the theory's hypotheses against the rows, for each run group.

    On adjusted complexity, on one student: random labels > labels > offline >= online, and lower at
    a higher temperature. On last-epoch test accuracy: offline and online above labels, online above
    offline, and matched (ours) above online. Over the arms: less complex own supervision, higher
    train fidelity and higher NTK similarity each go with higher test accuracy (Spearman's rank
    correlation). A hypothesis whose measurements are not in the rows gives no finding.

    Example:
        >>> ids = dict(dataset="digits", task="ten", teacher="resnet8", student="lenet5x1",
        ...            settings="3f2a90bc")
        >>> row = dict(**ids, kind="complexity", seed=0, arm="labels", temperature=None, step=9,
        ...            epoch=1.0, final=True, supervision_temperature=None)
        >>> found = findings([
        ...     dict(row, supervision="labels", adjusted_complexity=2.0),
        ...     dict(row, supervision="random_labels", adjusted_complexity=3.0)])
        >>> [(f.hypothesis, f.verdict, f.effect) for f in found]
        [('random labels are more complex than labels', 'undecided', 1.0)]
    """
    found: list[Finding] = []
    for group, members in group_rows(rows).items():
        arms = arms_in(members)
        reference = reference_student(members, arms)
        if reference is not None:
            found += _complexity_findings(group, members, reference)
        found += _accuracy_findings(group, members, arms)
        found += _findings_over_arms(group, members, arms)
    return found


def against_theory(found: Sequence[Finding]) -> list[Finding]:
    """Return the findings that contradict their hypothesis: what a reader should not miss."""
    return [finding for finding in found if finding.verdict == "not seen"]


def _complexity_findings(
    group: RunGroup, rows: Sequence[Row], reference: Supervision
) -> list[Finding]:
    """Order of the supervisions' adjusted complexities on the reference student."""
    measured = measured_supervisions(rows, reference)
    offline = [s for s in measured if s.name == "offline"]
    online = [s for s in measured if s.name == "online"]
    random_labels = Supervision("random_labels", None)
    labels = Supervision("labels", None)
    # (topic, words, predicted to be higher, predicted to be lower, equality agrees too)
    pairs = [("complexity order", "are more complex than", random_labels, labels, False)]
    pairs += [("complexity order", "are more complex than", labels, s, False) for s in offline]
    pairs += [
        ("complexity order", "is at least as complex as", s, t, True)
        for s in offline
        for t in online
        if s.temperature == t.temperature
    ]
    for same in (offline, online):
        pairs += [
            ("temperature", "is more complex than", low, high, False)
            for low, high in itertools.pairwise(same)
        ]
    found = []
    for topic, words, higher, lower, equal_agrees in pairs:
        first = complexity_points(rows, reference, higher, "adjusted_complexity")
        second = complexity_points(rows, reference, lower, "adjusted_complexity")
        differences: dict[int, float] = {}
        along: dict[int, list[float]] = {}
        for seed in first.keys() & second.keys():
            steps = first[seed].keys() & second[seed].keys()
            if not steps:
                continue
            values = [first[seed][step] - second[seed][step] for step in steps]
            differences[seed] = math.fsum(values) / len(values)
            for step, value in zip(steps, values, strict=True):
                along.setdefault(step, []).append(value)
        if not differences:
            continue
        agreeing = sum(
            math.fsum(values) > 0 or (equal_agrees and math.fsum(values) == 0)
            for values in along.values()
        )
        verdict, effect, half_width = judge(differences.values(), equal_agrees=equal_agrees)
        evidence = (
            f"difference in adjusted complexity {_interval(effect, half_width, len(differences))}"
            f" on the student trained on {reference.label}; so ordered at {agreeing} of"
            f" {len(along)} measuring points"
        )
        hypothesis = f"{higher.label} {words} {lower.label}"
        found.append(
            Finding(
                group, topic, hypothesis, verdict, effect, half_width, len(differences), evidence
            )
        )
    return found


def _accuracy_findings(
    group: RunGroup, rows: Sequence[Row], arms: Sequence[Supervision]
) -> list[Finding]:
    """Last-epoch test accuracies, paired over seeds."""
    labels = [arm for arm in arms if arm.name == "labels"]
    offline = [arm for arm in arms if arm.name == "offline"]
    online = [arm for arm in arms if arm.name == "online"]
    pairs = [(better, worse) for worse in labels for better in (*offline, *online)]
    matched = [arm for arm in arms if arm.name == "matched"]
    for worse_arms, better_arms in ((offline, online), (online, matched)):
        pairs += [(b, w) for w in worse_arms for b in better_arms if b.temperature == w.temperature]
    found = []
    for better, worse in pairs:
        first = final_values(rows, better, "test_accuracy")
        second = final_values(rows, worse, "test_accuracy")
        differences = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
        if not differences:
            continue
        verdict, effect, half_width = judge(differences)
        evidence = f"difference in test accuracy {_points(effect, half_width, len(differences))}"
        hypothesis = f"{better.label} is more accurate than {worse.label}"
        n = len(differences)
        found.append(
            Finding(group, "accuracy", hypothesis, verdict, effect, half_width, n, evidence)
        )
    return found


def _findings_over_arms(
    group: RunGroup, rows: Sequence[Row], arms: Sequence[Supervision]
) -> list[Finding]:
    """Rank correlations of test accuracy over the arms, one a seed."""
    accuracy = {arm: final_values(rows, arm, "test_accuracy") for arm in arms}
    own = {arm: own_complexity(rows, arm, "adjusted_complexity") for arm in arms}
    fidelity = {arm: final_values(rows, arm, "train_fidelity") for arm in arms}
    similarity = {arm: final_values(rows, arm, "ntk_similarity") for arm in arms}
    found = []
    for words, values, sign in (
        ("less complex own supervision", own, -1.0),
        ("higher train fidelity", fidelity, 1.0),
        ("higher NTK similarity to the teacher", similarity, 1.0),
    ):
        correlations = rank_correlations(values, accuracy)
        if not correlations:
            continue
        verdict, effect, half_width = judge([sign * rho for rho in correlations])
        n = len(correlations)
        interval = _interval(sign * effect, half_width, n)
        evidence = f"Spearman's rank correlation over the arms {interval}"
        hypothesis = f"{words} goes with higher test accuracy"
        found.append(
            Finding(group, "over the arms", hypothesis, verdict, effect, half_width, n, evidence)
        )
    return found


def judge(
    values: Collection[float], *, equal_agrees: bool = False
) -> tuple[Verdict, float, float | None]:
    """Judge the hypothesis that the mean of one value a seed is positive, by `RULE`.

    Args:
        values: one number a seed, at least one.
        equal_agrees: whether a mean of exactly zero agrees with the hypothesis ("at least").

    Returns:
        The verdict, the mean, and half the 95 % t-interval of the mean (None with one seed).

    Example:
        >>> judge([1.0, 1.1, 0.9])[0], judge([1.0, -1.1, 0.3])[0], judge([-1.0])[0]
        ('seen', 'undecided', 'undecided')
    """
    mean, sd, n = mean_sd(values)
    assert mean is not None  # callers hold at least one value
    if sd is None:
        return "undecided", mean, None
    from scipy.special import stdtrit

    half_width = float(stdtrit(n - 1, 0.5 + _CONFIDENCE / 2)) * sd / math.sqrt(n)
    low, high = mean - half_width, mean + half_width
    if low > 0 or (equal_agrees and low == high == 0):
        return "seen", mean, half_width
    if high < 0 or (not equal_agrees and low == high == 0):
        return "not seen", mean, half_width
    return "undecided", mean, half_width


def rank_correlations(
    first: Mapping[Measured, Mapping[int, float]],
    second: Mapping[Measured, Mapping[int, float]],
) -> list[float]:
    """Return Spearman's correlation of two quantities over arms or runs, one a seed.

    A seed with fewer than three of them, or in which either quantity is the same for all, has no
    rank correlation and is left out.

    Args:
        first: {seed: value} by arm or run.
        second: the same of the other quantity.

    Example:
        >>> rank_correlations({"a": {0: 1.0}, "b": {0: 2.0}, "c": {0: 3.0}},
        ...                   {"a": {0: 5.0}, "b": {0: 7.0}, "c": {0: 9.0}})
        [1.0]
    """
    import numpy as np
    from scipy.stats import rankdata

    seeds = sorted({seed for values in first.values() for seed in values})
    found = []
    for seed in seeds:
        arms = [arm for arm in first if seed in first[arm] and seed in second.get(arm, {})]
        if len(arms) < 3:
            continue
        x = rankdata([first[arm][seed] for arm in arms])
        y = rankdata([second[arm][seed] for arm in arms])
        if np.ptp(x) > 0 and np.ptp(y) > 0:
            found.append(float(np.corrcoef(x, y)[0, 1]))
    return found


def _interval(effect: float, half_width: float | None, seeds: int) -> str:
    text = f"{effect:+.3g}"
    if half_width == 0:  # ranks take few values, so all seeds can agree exactly
        return f"{text} in each of {seeds} seeds"
    return text + ("" if half_width is None else f" ± {half_width:.2g}") + _error(half_width, seeds)


def _points(effect: float, half_width: float | None, seeds: int) -> str:
    text = f"{100 * effect:+.2f}"
    text += "" if half_width is None else f" ± {100 * half_width:.2f}"
    return f"{text} points{_error(half_width, seeds)}"


def _error(half_width: float | None, seeds: int) -> str:
    return " (one seed)" if half_width is None else f" (95 %, {seeds} seeds)"
