"""What the theory predicts of a run, held against its rows.

The predictions are hypotheses from Harutyunyan et al. (ICLR 2023, arXiv 2301.12245), but for the
one on the matched arm, which is ours; nothing here expects them to hold.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from kdtheory.arms import LABELS, RANDOM_LABELS, Supervision
from kdtheory.rows import Row
from kdtheory.statistics.comparison import UNKNOWN, Comparison
from kdtheory.statistics.correlations import rank_correlations
from kdtheory.statistics.findings import Finding, judge
from kdtheory.statistics.groups import RunGroup, arms_in, group_rows
from kdtheory.statistics.seeds import (
    differences,
    differences_along,
    final_values,
    measured_supervisions,
    own_complexity,
    reference_student,
)


def findings(rows: Sequence[Row], comparison: Comparison = UNKNOWN) -> list[Finding]:
    """Hold the theory's hypotheses against the rows, for each run group.

    On adjusted complexity, on one student: random labels > labels > offline >= online, and lower at
    a higher temperature. On last-epoch test accuracy: offline and online above labels, online above
    offline, and matched (ours) above online. Over the arms: less complex own supervision, higher
    train fidelity and higher NTK similarity each go with higher test accuracy (Spearman's rank
    correlation). A hypothesis whose measurements are not in the rows gives no finding.

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
    for group, members in group_rows(rows, comparison).items():
        arms = arms_in(members)
        reference = reference_student(members, arms)
        if reference is not None:
            found += _complexity_findings(group, members, reference)
        found += _accuracy_findings(group, members, arms)
        found += _findings_over_arms(group, members, arms)
    return found


class ComplexityOrder(NamedTuple):
    """Which of two supervisions is predicted to be the more complex one."""

    topic: str
    words: str
    higher: Supervision
    lower: Supervision
    equal_agrees: bool
    """Whether the prediction holds where they are equal, too."""

    @property
    def hypothesis(self) -> str:
        """The prediction in words."""
        return f"{self.higher.label} {self.words} {self.lower.label}"


def complexity_orders(measured: Sequence[Supervision]) -> list[ComplexityOrder]:
    """Return the predicted orders among the supervisions measured on one student.

    >>> [each.hypothesis for each in complexity_orders([LABELS, Supervision("offline", 4.0)])][1:]
    ['labels are more complex than offline, τ = 4']
    """
    offline = [s for s in measured if s.name == "offline"]
    online = [s for s in measured if s.name == "online"]
    more = ("complexity order", "are more complex than")
    orders = [ComplexityOrder(*more, RANDOM_LABELS, LABELS, False)]
    orders += [ComplexityOrder(*more, LABELS, s, False) for s in offline]
    orders += [
        ComplexityOrder("complexity order", "is at least as complex as", s, t, True)
        for s in offline
        for t in online
        if s.temperature == t.temperature
    ]
    for same in (offline, online):
        orders += [
            ComplexityOrder("temperature", "is more complex than", low, high, False)
            for low, high in itertools.pairwise(same)
        ]
    return orders


def _complexity_findings(
    group: RunGroup, rows: Sequence[Row], reference: Supervision
) -> list[Finding]:
    """Order of the supervisions' adjusted complexities on the reference student."""
    found = []
    for order in complexity_orders(measured_supervisions(rows, reference)):
        along = differences_along(rows, reference, order.higher, order.lower)
        values = [math.fsum(of_seed.values()) / len(of_seed) for of_seed in along.values()]
        if not values:
            continue
        steps = {step for of_seed in along.values() for step in of_seed}
        at_steps = [
            math.fsum(of_seed[step] for of_seed in along.values() if step in of_seed)
            for step in steps
        ]
        agreeing = sum(total > 0 or (order.equal_agrees and total == 0) for total in at_steps)
        verdict, effect, half_width = judge(values, equal_agrees=order.equal_agrees)
        interval = _interval(effect, half_width, len(values), rows)
        evidence = (
            f"difference in adjusted complexity {interval}"
            f" on the student trained on {reference.label}; so ordered at {agreeing} of"
            f" {len(steps)} measuring points"
        )
        found.append(
            Finding(
                order.hypothesis,
                verdict,
                evidence,
                effect,
                half_width,
                len(values),
                group,
                order.topic,
            )
        )
    return found


def _accuracy_findings(
    group: RunGroup, rows: Sequence[Row], arms: Sequence[Supervision]
) -> list[Finding]:
    """Last-epoch test accuracies, paired over seeds."""
    named = {
        name: [arm for arm in arms if arm.name == name]
        for name in ("labels", "offline", "online", "matched")
    }
    pairs = [(b, w) for w in named["labels"] for b in (*named["offline"], *named["online"])]
    for worse, better in (("offline", "online"), ("online", "matched")):
        pairs += [
            (b, w) for w in named[worse] for b in named[better] if b.temperature == w.temperature
        ]
    found = []
    for better_arm, worse_arm in pairs:
        gains = differences(
            *(final_values(rows, arm, "test_accuracy") for arm in (better_arm, worse_arm))
        ).values()
        if not gains:
            continue
        verdict, effect, half_width = judge(gains)
        evidence = f"difference in test accuracy {_points(effect, half_width, len(gains), rows)}"
        hypothesis = f"{better_arm.label} is more accurate than {worse_arm.label}"
        found.append(
            Finding(
                hypothesis, verdict, evidence, effect, half_width, len(gains), group, "accuracy"
            )
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
        interval = _interval(sign * effect, half_width, n, rows)
        evidence = f"Spearman's rank correlation over the arms {interval}"
        hypothesis = f"{words} goes with higher test accuracy"
        found.append(
            Finding(hypothesis, verdict, evidence, effect, half_width, n, group, "over the arms")
        )
    return found


def _interval(effect: float, half_width: float | None, values: int, rows: Sequence[Row]) -> str:
    text = f"{effect:+.3g}"
    if half_width == 0:  # ranks take few values, so all seeds can agree exactly
        return f"{text} in each of {values} seeds"
    return text + ("" if half_width is None else f" ± {half_width:.2g}") + _error(values, rows)


def _points(effect: float, half_width: float | None, values: int, rows: Sequence[Row]) -> str:
    text = f"{100 * effect:+.2f}"
    text += "" if half_width is None else f" ± {100 * half_width:.2f}"
    return f"{text} points{_error(values, rows)}"


def _error(values: int, rows: Sequence[Row]) -> str:
    """Say how many seeds have the value, and of how many where some do not."""
    seeds = len({row["seed"] for row in rows})
    of = f" of {seeds}" if seeds > values else ""
    return f" (one{of} seed{'s' if of else ''})" if values == 1 else f" (95 %, {values}{of} seeds)"
