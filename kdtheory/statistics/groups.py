"""What the rows are about: run groups, the arms inside them, and how each is named."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kdtheory.arms import Supervision
from kdtheory.errors import InputError
from kdtheory.plain_text import plain
from kdtheory.rows import Row, arm_of
from kdtheory.statistics.comparison import UNKNOWN, Comparison


class RunGroup(NamedTuple):
    """Runs that may be averaged over seeds: one data set, task, teacher, student and settings."""

    dataset: str
    task: str
    teacher: str
    student: str
    settings: str
    """The run's short hash of everything a measurement depends on except seed and arm."""
    title: str
    """The group in words, for headings; it names what differs in the settings, or else their hash,
    only where another group of the same rows would have the same title."""


def group_rows(rows: Sequence[Row], comparison: Comparison = UNKNOWN) -> dict[RunGroup, list[Row]]:
    """Return the rows of each run group, in the order in which the groups first appear.

    Args:
      rows: of one or several runs.
      comparison: what is known of the runs besides.

    >>> ids = dict(dataset="digits", task="ten", teacher="resnet8", student="lenet5x1")
    >>> [g.title for g in group_rows([dict(**ids, settings="3f2a90bc")])]
    ['digits, ten: resnet8 → lenet5x1']
    >>> both = [dict(**ids, settings="3f2a90bc"), dict(**ids, settings="04d1e6f7")]
    >>> [g.title for g in group_rows(both)][1]
    'digits, ten: resnet8 → lenet5x1 (settings 04d1e6f7)'
    """
    groups: dict[RunGroup, list[Row]] = {}
    for row in rows:
        title = plain(f"{row['dataset']}, {row['task']}: {row['teacher']} → {row['student']}")
        group = RunGroup(
            row["dataset"], row["task"], row["teacher"], row["student"], row["settings"], title
        )
        groups.setdefault(group, []).append(row)
    titles = _told_apart(
        {group: group.title for group in groups},
        {group: plain(comparison.words(group.settings)) for group in groups},
    )
    titles = _told_apart(titles, {group: f"settings {group.settings}" for group in groups})
    return {group._replace(title=titles[group]): members for group, members in groups.items()}


def _told_apart(
    titles: Mapping[RunGroup, str], words: Mapping[RunGroup, str]
) -> dict[RunGroup, str]:
    """Return titles with words after those that several have."""
    shared = Counter(titles.values())
    return {
        group: f"{title} ({words[group]})" if shared[title] > 1 and words[group] else title
        for group, title in titles.items()
    }


def arms_in(rows: Sequence[Row]) -> list[Supervision]:
    """Return the arms of one run group, in reading order.

    Raises:
      InputError: one arm was trained with several mixtures alpha. Complexity rows do not hold
        alpha, so such runs could not be told apart.
    """
    alphas: dict[Supervision, set[float | None]] = {}
    for row in rows:
        if row["kind"] in ("student", "complexity"):
            seen = alphas.setdefault(arm_of(row), set())
            if row["kind"] == "student":
                seen.add(row["alpha"])
    for arm, seen in alphas.items():
        if len(seen) > 1:
            listed = ", ".join(sorted(map(str, seen)))
            raise InputError(
                f"arm {arm.label!r} has rows of several alphas ({listed}) in one run group;"
                " give runs of one alpha"
            )
    return sorted(alphas, key=lambda arm: arm.order)
