"""Which learning rate each arm was given, as rows tell it, and from which list."""

from collections.abc import Sequence

from kdtheory.arms import Supervision
from kdtheory.rows import Row, TuningRow, arm_of, tunings


def chosen_rates(rows: Sequence[Row]) -> dict[Supervision, float]:
    """Return each arm's learning rate, of those arms whose rate was tuned.

    >>> row = dict(kind="tuning", arm="labels", temperature=None, seed=0)
    >>> chosen_rates([{**row, "learning_rate": 0.1, "chosen": True},
    ...               {**row, "learning_rate": 0.2, "chosen": False}])
    {Supervision(name='labels', temperature=None): 0.1}
    """
    found = {arm_of(row): row["learning_rate"] for row in tunings(rows) if row["chosen"]}
    return {arm: found[arm] for arm in sorted(found, key=lambda arm: arm.order)}


def tuning_notes(rows: Sequence[Row], *, rates_told: bool = True) -> list[str]:
    """Return what a table says of one run group's tuning: the budget, the rates, the edges.

    Args:
      rows: of the group.
      rates_told: name each arm's rate; else the budget alone, for where a table has the rates.

    >>> row = dict(kind="tuning", arm="labels", temperature=None, seed=0)
    >>> tried = [{**row, "learning_rate": 0.1, "validation_accuracy": 0.5, "chosen": False},
    ...          {**row, "learning_rate": 0.2, "validation_accuracy": 0.6, "chosen": True}]
    >>> for note in tuning_notes(tried):
    ...     print(note)
    learning rate by arm, of 0.1, 0.2, by last-epoch validation accuracy at seed 0 \
(a training an arm and a rate): labels 0.2
    chosen at the edge of its list, beyond which a better rate may lie: labels (0.2, the largest)
    """
    tried: dict[Supervision, list[TuningRow]] = {}
    for row in tunings(rows):
        tried.setdefault(arm_of(row), []).append(row)
    if not tried:
        return []
    rates = chosen_rates(rows)
    every = sorted({row["learning_rate"] for of_arm in tried.values() for row in of_arm})
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in tunings(rows)}))
    listed = ", ".join(f"{arm.label} {rate:g}" for arm, rate in rates.items())
    notes = [
        f"learning rate by arm, of {', '.join(f'{rate:g}' for rate in every)}, by last-epoch"
        f" validation accuracy at seed {seeds} (a training an arm and a rate)"
        f"{f': {listed}' if rates_told else ''}"
    ]
    edges = []
    for arm, rate in rates.items():
        own = [row["learning_rate"] for row in tried[arm]]
        for end, words in ((min(own), "smallest"), (max(own), "largest")):
            if rate == end and len(own) > 1:
                edges.append(f"{arm.label} ({rate:g}, the {words})")
    if edges:
        notes.append(
            "chosen at the edge of its list, beyond which a better rate may lie: "
            + ", ".join(edges)
        )
    failed = [
        f"{arm.label} at {row['learning_rate']:g}"
        for arm in rates
        for row in tried[arm]
        if row["validation_accuracy"] is None
    ]
    return [*notes, *([f"diverged: {', '.join(failed)}"] if failed else [])]
