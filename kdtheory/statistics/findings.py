"""A hypothesis held against measurements: seen, not seen, or undecided.

It predicts the sign of a number a seed (a paired difference, a rank correlation over the arms), and
the verdict is read off the confidence interval of that number's mean.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from kdtheory.plain_text import number_of
from kdtheory.statistics.groups import RunGroup
from kdtheory.statistics.seeds import mean_sd

Verdict: TypeAlias = Literal["seen", "not seen", "undecided"]

#: How a verdict is reached, for a reader of the findings.
RULE = (
    "Rule: each hypothesis predicts the sign of one number per seed (differences are paired: both"
    " values come from the same seed). “Seen” means that the 95 % t-interval of its mean over seeds"
    " lies wholly on the predicted side, “not seen” that it lies wholly on the other, “undecided”"
    " that it holds zero, or that there is one seed only and so no error. Complexities are compared"
    " on one student (named) and averaged over the measuring points of its training. Intervals are"
    " not corrected for the number of hypotheses; a study's verdicts are given after Holm's"
    " correction too, over all hypotheses that it counts."
)

_CONFIDENCE = 0.95


class Finding(NamedTuple):
    """One hypothesis held against rows."""

    hypothesis: str
    """The prediction, in words."""
    verdict: Verdict
    """Either "seen", "not seen" or "undecided"; `RULE` says how."""
    evidence: str
    """The effect with its interval, in words."""
    effect: float | None = None
    """Mean over seeds of the number whose sign is predicted, positive where the hypothesis holds; a
    fraction for accuracies. None where nothing was measured."""
    half_width: float | None = None
    """Half the 95 % interval of `effect`; None with one value."""
    seeds: int = 0
    """How many entered."""
    group: RunGroup | None = None
    """The runs that it is about; None for a study's findings, which may be about several."""
    topic: str = ""
    """Either "complexity order", "temperature", "accuracy", "over the arms" or nothing."""
    by_construction: bool = False
    """It could not have come out otherwise (two names of the same targets, a theorem): it is told,
    and not counted."""
    scale: float = 1
    """Factor of `effect` as it is told."""
    unit: str = ""
    """Of `effect` as it is told, such as " points"."""
    settings: tuple[str, ...] = ()
    """Names of the settings that it rests on; none for all of a study's."""
    open: str = ""
    """Why its setting cannot decide it, if so: it is told, and not counted."""
    corrected: Verdict | None = None
    """The verdict after Holm's correction over all that is counted; None where none was made."""

    @property
    def counted(self) -> bool:
        """Whether it says something of the theory: neither by construction nor open."""
        return not (self.by_construction or self.open)

    @property
    def p_value(self) -> float | None:
        """Two-sided p of the t-test that the mean is zero; None without an interval.

        >>> round(finding("a", [1.0, 1.1, 0.9]).p_value, 4)
        0.0033
        """
        if self.effect is None or self.half_width is None:
            return None
        if self.half_width == 0:
            return float(self.effect == 0)
        from scipy.special import stdtr, stdtrit

        critical = float(stdtrit(self.seeds - 1, 0.5 + _CONFIDENCE / 2))
        return 2 * float(stdtr(self.seeds - 1, -critical * abs(self.effect) / self.half_width))


def against_theory(found: Sequence[Finding]) -> list[Finding]:
    """Return the findings that contradict their hypothesis: what a reader should not miss."""
    return [finding for finding in found if finding.verdict == "not seen" and not finding.open]


def corrected_by_holm(found: Sequence[Finding]) -> list[Finding]:
    """Return findings with their verdicts after Holm's correction over all that are counted.

    The i-th smallest of m p-values is decided where (m - j + 1) p_j <= 0.05 for every j <= i: the
    probability that one true null hypothesis or more is rejected is at most 0.05, whatever their
    dependence (Holm, Scandinavian Journal of Statistics 1979).

    >>> pair = [finding("a", [1.0, 1.1, 0.9]), finding("b", [1.0, 1.6, 0.9])]
    >>> [(each.verdict, each.corrected) for each in corrected_by_holm([*pair, pair[1]])]
    [('seen', 'seen'), ('seen', 'undecided'), ('seen', 'undecided')]
    """
    p_values = {
        i: p for i, each in enumerate(found) if each.counted and (p := each.p_value) is not None
    }
    decided: set[int] = set()
    for rank, (i, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if (len(p_values) - rank) * p > 1 - _CONFIDENCE:
            break
        decided.add(i)
    return [
        each._replace(corrected=each.verdict if i in decided else "undecided")
        if i in p_values
        else each
        for i, each in enumerate(found)
    ]


def finding(
    hypothesis: str,
    values: Collection[float] | Mapping[int, float],
    *,
    scale: float | int = 1,
    unit: str = "",
    by_construction: bool = False,
    settings: tuple[str, ...] = (),
) -> Finding:
    """Judge that the mean of one value a seed is positive.

    Args:
      hypothesis: what is predicted, in words.
      values: one number a seed, or {seed: number}; positive where the hypothesis holds.
      scale: factor of the numbers as they are told.
      unit: their unit as it is told.
      by_construction: whether it could not have come out otherwise.
      settings: names of the settings that it rests on; none for all of a study's.

    >>> finding("labels are more complex", [1.0, 1.1, 0.9], unit=" adjusted").verdict
    'seen'
    >>> finding("nothing measured", []).verdict
    'undecided'
    """
    if isinstance(values, Mapping):
        values = list(values.values())
    if not values:
        return Finding(
            hypothesis, "undecided", "not measured", by_construction=by_construction,
            settings=settings,
        )  # fmt: skip
    verdict, effect, half_width = judge(values)
    n = len(values)
    text = f"{scale * effect:+.3g}"
    if half_width is None:
        text += f"{unit} (one value)"
    else:
        text += f" ± {scale * half_width:.2g}{unit} (95 %, {n} values)"
    return Finding(
        hypothesis, verdict, text, effect, half_width, n, by_construction=by_construction,
        scale=scale, unit=unit, settings=settings,
    )  # fmt: skip


def verdict_line(found: Sequence[Finding]) -> str:
    """Return in short how many hypotheses were seen, and plainly which the data go against.

    What holds by construction is not counted, nor what its setting cannot decide.

    >>> verdict_line([Finding("a", "seen", ""), Finding("b", "seen", "", by_construction=True)])
    'Of 1 hypothesis: 1 seen, 0 not seen, 0 undecided.'
    """
    counted = [each for each in found if each.counted]
    shut = [each for each in found if each.open]
    if shut and not counted:
        return f"Open: the settings cannot decide any of {_hypotheses(shut)}."
    if not counted:
        return "The rows hold no measurements that could test a hypothesis."
    against = against_theory(counted)
    undecided = [each for each in counted if each.verdict == "undecided"]
    doubtful = [each for each in undecided if each.effect is not None and each.effect < 0]
    measured = [each for each in counted if each.effect is not None]
    parts = [
        f"Of {_hypotheses(counted)}: {len(counted) - len(against) - len(undecided)} seen,"
        f" {len(against)} not seen, {len(undecided)} undecided."
    ]
    if any(each.corrected for each in counted):
        after = [each.corrected for each in counted]
        parts.append(
            f"After Holm's correction: {after.count('seen')} seen, {after.count('not seen')} not"
            " seen."
        )
    if shut:
        parts.append(f"{len(shut)} more are open, as their settings cannot decide them.")
    several = len({each.group for each in counted}) > 1
    if against:
        parts.append(f"Against the theory, the data contradict: {_listed(against, several)}.")
    if doubtful:
        parts.append(
            "Against the theory, but undecided within the error, are the means for:"
            f" {_listed(doubtful, several)}."
        )
    if measured and all(each.half_width is None for each in measured):
        parts.append("Each rests on one value, so there is no error and nothing is decided.")
    elif measured and not against and not doubtful:
        parts.append("No mean goes against the theory.")
    return " ".join(parts)


def marked_verdict(each: Finding) -> str:
    """Return a finding's verdict as it is shown: by construction, open, or after a correction.

    >>> marked_verdict(Finding("a", "seen", "+1", corrected="undecided"))
    'seen (Holm: undecided)'
    """
    if each.by_construction:
        return f"{each.verdict} (by construction)"
    if each.open:
        return "open: setting"
    changed = each.corrected is not None and each.corrected != each.verdict
    return f"{each.verdict} (Holm: {each.corrected})" if changed else each.verdict


def told_evidence(each: Finding) -> str:
    """Return a finding's evidence, and why its setting cannot decide it, if so.

    >>> told_evidence(Finding("a", "seen", "+1", open="nothing is learnt"))
    '+1; open, as nothing is learnt'
    """
    return f"{each.evidence}; open, as {each.open}" if each.open else each.evidence


def by_group(found: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Return the findings of each run group by its title; "" for those that have none."""
    groups: dict[str, list[Finding]] = {}
    for each in found:
        groups.setdefault("" if each.group is None else each.group.title, []).append(each)
    return groups


def _hypotheses(found: Sequence[Finding]) -> str:
    return number_of(len(found), "hypothesis", "hypotheses")


def _listed(found: Sequence[Finding], several: bool) -> str:
    """List hypotheses; where there are several run groups, each group is named once."""
    if not several:
        return "; ".join(each.hypothesis for each in found)
    return "; ".join(
        f"[{title}] {', '.join(each.hypothesis for each in members)}"
        if title
        else "; ".join(each.hypothesis for each in members)
        for title, members in by_group(found).items()
    )


def judge(
    values: Collection[float], *, equal_agrees: bool = False
) -> tuple[Verdict, float, float | None]:
    """Judge the hypothesis that the mean of one value a seed is positive, by `RULE`.

    Args:
      values: one number a seed, at least one.
      equal_agrees: whether a mean of exactly zero agrees with the hypothesis ("at least").

    Returns:
      The verdict, the mean, and half the 95 % t-interval of the mean (None with one seed).

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
