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
    """One hypothesis held against rows.

    - `hypothesis`: the prediction, in words.
    - `verdict`: "seen", "not seen" or "undecided"; `RULE` says how.
    - `evidence`: the effect with its interval, in words.
    - `effect`: mean over seeds of the number whose sign is predicted, positive where the hypothesis
      holds; a fraction for accuracies. None where nothing was measured.
    - `half_width`: half the 95 % interval of `effect`; None with one value.
    - `seeds`: how many entered.
    - `group`: the runs that it is about; None for a study's findings, which may be about several.
    - `topic`: "complexity order", "temperature", "accuracy", "over the arms" or nothing.
    - `by_construction`: it could not have come out otherwise (two names of the same targets, a
      theorem): it is told, and not counted.
    """

    hypothesis: str
    verdict: Verdict
    evidence: str
    effect: float | None = None
    half_width: float | None = None
    seeds: int = 0
    group: RunGroup | None = None
    topic: str = ""
    by_construction: bool = False


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


def finding(
    hypothesis: str,
    values: Collection[float],
    *,
    scale: float | int = 1,
    unit: str = "",
    by_construction: bool = False,
) -> Finding:
    """Judge that the mean of one value a seed is positive.

    Args:
        hypothesis: what is predicted, in words.
        values: one number a seed, positive where the hypothesis holds.
        scale: factor of the numbers as they are told.
        unit: their unit as it is told.
        by_construction: whether it could not have come out otherwise.

    Example:
        >>> finding("labels are more complex", [1.0, 1.1, 0.9], unit=" adjusted").verdict
        'seen'
        >>> finding("nothing measured", []).verdict
        'undecided'
    """
    if not values:
        return Finding(hypothesis, "undecided", "not measured", by_construction=by_construction)
    verdict, effect, half_width = judge(values)
    n = len(values)
    text = f"{scale * effect:+.3g}"
    if half_width is None:
        text += f"{unit} (one seed)"
    else:
        text += f" ± {scale * half_width:.2g}{unit} (95 %, {n} values)"
    return Finding(
        hypothesis, verdict, text, effect, half_width, n, by_construction=by_construction
    )


def verdict_line(found: Sequence[Finding]) -> str:
    """Return in short how many hypotheses were seen, and plainly which the data go against.

    What holds by construction is not counted.

    Example:
        >>> verdict_line([Finding("a", "seen", ""), Finding("b", "seen", "", by_construction=True)])
        'Of 1 hypotheses: 1 seen, 0 not seen, 0 undecided.'
    """
    counted = [each for each in found if not each.by_construction]
    if not counted:
        return "The rows hold no measurements that could test a hypothesis."
    against = against_theory(counted)
    undecided = [each for each in counted if each.verdict == "undecided"]
    doubtful = [each for each in undecided if each.effect is not None and each.effect < 0]
    measured = [each for each in counted if each.effect is not None]
    parts = [
        f"Of {len(counted)} hypotheses: {len(counted) - len(against) - len(undecided)} seen,"
        f" {len(against)} not seen, {len(undecided)} undecided."
    ]
    several = len({each.group for each in counted}) > 1
    if against:
        parts.append(f"Against the theory, the data contradict: {_listed(against, several)}.")
    if doubtful:
        parts.append(
            "Against the theory, but undecided within the error, are the means for:"
            f" {_listed(doubtful, several)}."
        )
    if measured and all(each.half_width is None for each in measured):
        parts.append("Each has one seed's value, so there is no error and nothing is decided.")
    elif measured and not against and not doubtful:
        parts.append("No mean goes against the theory.")
    return " ".join(parts)


def marked_verdict(each: Finding) -> str:
    """Return a finding's verdict as it is shown, by construction or not."""
    return f"{each.verdict} (by construction)" if each.by_construction else each.verdict


def _listed(found: Sequence[Finding], several: bool) -> str:
    """List hypotheses; where there are several run groups, each group is named once."""
    by_group: dict[str, list[str]] = {}
    for each in found:
        title = each.group.title if several and each.group is not None else ""
        by_group.setdefault(title, []).append(each.hypothesis)
    return "; ".join(
        f"[{title}] {', '.join(listed)}" if title else "; ".join(listed)
        for title, listed in by_group.items()
    )


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
                hypothesis, verdict, evidence, effect, half_width, len(differences), group, topic
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
            Finding(hypothesis, verdict, evidence, effect, half_width, n, group, "accuracy")
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
            Finding(hypothesis, verdict, evidence, effect, half_width, n, group, "over the arms")
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
    # Differences that are all exactly zero (two arms that did the same) contradict nothing.
    if high < 0:
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
