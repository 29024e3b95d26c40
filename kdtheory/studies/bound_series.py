"""Bounds of one task for a growing number n of the kernel's examples."""

from typing import NamedTuple

from kdtheory.arms import Supervision
from kdtheory.bounds import held_out_bound
from kdtheory.errors import InputError
from kdtheory.rows import Row
from kdtheory.statistics.bounds import bound_supervisions, bound_values, bounds_of, norm_term
from kdtheory.statistics.seeds import final_values
from kdtheory.studies.study import CaseRows, Values

#: How the ridge of the bounds goes with n, by the end of a run's name.
RULES = {"free": "ridge free", "proportional": "ridge ∝ n"}


class Series(NamedTuple):
    """The runs of one task and rule of the ridge: their rows by n, rising."""

    name: str
    runs: dict[int, list[Row]]
    setting: str
    """The run that trained the task's networks."""
    networks: list[Row]
    """Its rows."""

    def values(self, supervision: Supervision, name: str) -> dict[int, Values]:
        """Return {n: {seed: value}} of a field of a supervision's bounds."""
        return {n: bound_values(rows, supervision, name) for n, rows in self.runs.items()}

    def test_errors(self, supervision: Supervision) -> Values:
        """Return {seed: test error} of the network trained on a supervision.

        Networks are the same whatever n, so that one run's are those of all.
        """
        accuracies = final_values(self.networks, supervision, "test_accuracy")
        return {seed: 1 - accuracy for seed, accuracy in accuracies.items()}


def networks_of(case_rows: CaseRows) -> dict[str, list[Row]]:
    """Return each task's first run, which trains its networks, by the run's name."""
    return {case: case_rows[case] for case in _first_runs(case_rows).values()}


def _first_runs(case_rows: CaseRows) -> dict[tuple[str, str], str]:
    """Return the name of the first run of each data set and task."""
    found: dict[tuple[str, str], str] = {}
    for case, rows in case_rows.items():
        found.setdefault((rows[0]["dataset"], rows[0]["task"]), case)
    return found


def series_of(case_rows: CaseRows) -> list[Series]:
    """Return the runs by task and rule, in the order in which they first appear.

    Raises:
      InputError: a run without bounds.
    """
    firsts = _first_runs(case_rows)
    found: dict[tuple[str, str, str], dict[int, list[Row]]] = {}
    for case, rows in case_rows.items():
        sizes = {row["n"] for row in rows if row["kind"] == "bound"}
        if len(sizes) != 1:
            raise InputError(f"run {case!r} needs bounds of one n, got {sorted(sizes)}")
        rule = case.rsplit("-", 1)[-1]
        task = (rows[0]["dataset"], rows[0]["task"], RULES.get(rule, ""))
        found.setdefault(task, {})[sizes.pop()] = rows
    return [
        Series(
            ", ".join(word for word in task if word),
            dict(sorted(runs.items())),
            firsts[task[:2]],
            case_rows[firsts[task[:2]]],
        )
        for task, runs in found.items()
    ]


def shown_supervisions(task: Series) -> list[Supervision]:
    """Return the supervisions with a bound; online is left out, which ends as offline."""
    rows = [row for run in task.runs.values() for row in run]
    return [s for s in bound_supervisions(rows) if s.name in ("random_labels", "labels", "offline")]


def norm_terms(task: Series, supervision: Supervision) -> dict[int, Values]:
    """Return {n: {seed: `norm_term`}} of a supervision that has one bound a seed."""
    return {
        n: {row["seed"]: norm_term(row) for row in bounds_of(rows, supervision)}
        for n, rows in task.runs.items()
    }


def exponents(values: dict[int, Values]) -> list[float]:
    """Return each seed's exponent a of value ~ n^a: the slope of the logarithms' straight line.

    A seed that lacks a value at some n is left out.

    >>> [round(a, 6) for a in exponents({100: {0: 1.0}, 400: {0: 0.5}})]
    [-0.5]
    """
    import numpy as np

    if len(values) < 2:
        return []
    x = np.log(list(values))
    x -= x.mean()
    found = []
    for seed in sorted(set.intersection(*(set(at_n) for at_n in values.values()))):
        y = np.log([at_n[seed] for at_n in values.values()])
        found.append(float(x @ y / (x @ x)))
    return found


def certified_by_holding_out(error: float, n: int) -> float:
    """Return the bound that n held-out examples give a network of this error, typically.

    >>> round(certified_by_holding_out(0.1, 1000), 3)
    0.117
    """
    return held_out_bound(round(error * n), n)
