"""Findings behind the gate: a verdict whose setting cannot decide is open, and not counted."""

from collections.abc import Collection, Mapping, Sequence

from kdtheory.statistics.findings import Finding
from kdtheory.statistics.setting_health import Check, SettingHealth


def gated(
    found: Sequence[Finding],
    healths: Mapping[str, SettingHealth],
    *,
    varied: Collection[Check] = (),
) -> list[Finding]:
    """Return the findings, those open whose settings fail a check or cannot resolve them.

    Args:
      found: as judged.
      healths: of each setting, by the names that findings have in `settings`; a finding that names
        none rests on all of them.
      varied: checks that the study varies on purpose, which do not close its settings.

    >>> gated([Finding("a", "seen", "+1", 1.0)], {})[0].open
    'no student on labels says how far its setting came'
    """
    return [_gated(each, healths, varied) for each in found]


def _gated(
    each: Finding, healths: Mapping[str, SettingHealth], varied: Collection[Check]
) -> Finding:
    if each.by_construction or each.effect is None:
        return each
    own = [healths[name] for name in each.settings or healths if name in healths]
    if not own or len(own) < len(set(each.settings)):
        return each._replace(open="no student on labels says how far its setting came")
    why = []
    for health in own:
        faults = [words for check, words in health.faults.items() if check not in varied]
        if faults:
            prefix = f"{health.name}: " if len(healths) > 1 else ""
            why.append(f"{prefix}{'; '.join(faults)}")
    return each._replace(open="; ".join(why) or _unresolved(each, own))


def _unresolved(each: Finding, own: Sequence[SettingHealth]) -> str:
    """Return why a difference in accuracy is within what test set and seeds resolve, or nothing."""
    if each.unit.strip() != "points" or each.effect is None:
        return ""
    effect = abs(each.scale * each.effect)
    by_test_set = 100 * max(health.difference_error for health in own)
    if each.verdict != "undecided":
        if effect > by_test_set:
            return ""
        return (
            f"another test set of {min(health.test_examples for health in own):,} would move it by "
            f"{by_test_set:.2g} points"
        )
    looked_for = 100 * max(health.looked_for for health in own)
    if each.half_width is None:
        return f"one seed does not tell {looked_for:g} points"
    if each.scale * each.half_width <= looked_for:
        return ""
    needed = max((health.seeds_needed or 0 for health in own), default=0)
    more = f"; about {needed} seeds would" if needed > each.seeds else ""
    return f"{each.seeds} seeds do not tell {looked_for:g} points{more}"
