"""The lines of the table: the teacher's of each run group, then its arms', each with its values."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from kdtheory.arms import Supervision
from kdtheory.errors import InputError, unknown_name
from kdtheory.report.columns import COLUMNS, CSV_ONLY
from kdtheory.rows import GROUP_FIELDS, Row
from kdtheory.statistics.comparison import IN_TITLES, UNKNOWN, ComparedRun, Comparison
from kdtheory.statistics.groups import RunGroup, arms_in, group_rows
from kdtheory.statistics.seeds import (
    MeanSd,
    failures,
    final_values,
    finished_seeds,
    mean_sd,
    own_complexity,
)

#: The fields whose values have a mean and a deviation over seeds, in order.
VALUES = (*(column.name for column in COLUMNS), *CSV_ONLY)


class Line(NamedTuple):
    """One arm's line, the teacher's, or that of a run that has no rows."""

    group: RunGroup | None
    """None for a run without rows."""
    run: ComparedRun | None
    """What is known of the run; None where that is its rows alone."""
    arm: Supervision | None
    """None for the teacher, and for a run without rows."""
    seeds: int
    failed: int
    """How many of the seeds ended at chance, or with a loss that never fell."""
    values: Mapping[str, MeanSd]
    """By the names of `VALUES`."""

    @property
    def title(self) -> str:
        """The run group in words."""
        if self.group is not None:
            return self.group.title
        assert self.run is not None
        dataset, task, teacher, student = (self.run.settings.get(name) for name in IN_TITLES)
        return f"{dataset}, {task}: {teacher} → {student} ({self.run.name})"

    @property
    def state(self) -> str:
        """How far the run is, and how many of the line's networks were not trained."""
        said = [self.run.state] if self.run is not None and self.run.state != "complete" else []
        if self.failed:
            said.append(f"collapsed: {self.failed} of {self.seeds} seeds")
        return "; ".join(said) or "complete"


def lines_of(rows: Sequence[Row], comparison: Comparison = UNKNOWN) -> list[Line]:
    """Return the lines of runs: in the order of the run groups, or as the comparison asks for.

    Raises:
      InputError: there are no rows, or one arm has several alphas; an unknown column to sort by.
    """
    if not rows:
        raise InputError("no rows to report; a run writes rows.jsonl")
    lines: list[Line] = []
    for group, members in group_rows(rows, comparison).items():
        lines += _group_lines(group, comparison.run(group.settings), members)
    nothing = dict.fromkeys(VALUES, mean_sd([]))
    lines += [Line(None, run, None, 0, 0, nothing) for run in comparison.without_rows(rows)]
    if any(line.run is None for line in lines) or not comparison.runs:
        return _sorted(lines, comparison)
    order = [run.key for run in comparison.runs]
    lines.sort(key=lambda line: order.index(line.run.key if line.run else ""))
    return _sorted(lines, comparison)


def record_of(line: Line, comparison: Comparison) -> dict[str, Any]:
    """Return a line as {name: value}, as it stands in CSV and Parquet: unrounded.

    Raises:
      InputError: a label is the name of another column.
    """
    run = line.run
    if line.group is not None:
        record: dict[str, Any] = {name: getattr(line.group, name) for name in GROUP_FIELDS}
    else:
        assert run is not None
        record = {**{name: run.settings.get(name) for name in IN_TITLES}, "settings": None}
    measured: dict[str, Any] = {
        "arm": _arm_name(line),
        "temperature": None if line.arm is None else line.arm.temperature,
        "seeds": line.seeds,
        "failed": line.failed,
    }
    if comparison.runs:
        measured["state"] = line.state
    for name, value in line.values.items():
        measured[f"{name}_mean"] = value.mean
        measured[f"{name}_sd"] = value.sd
    own = comparison.values(run.key) if run is not None else {}
    for column, setting in comparison.columns.items():
        if setting not in IN_TITLES or column in comparison.headers:
            name = comparison.headers.get(column, column)
            if column in comparison.headers and name in {*record, *measured}:
                raise InputError(
                    f"the label {name!r} of {column} is the name of another column; "
                    f"choose one that is not among {', '.join([*record, *measured])}"
                )
            record[name] = own.get(column)
    return record | measured


def find_column(name: str, known: Collection[str], comparison: Comparison) -> str:
    """Return the column that a user means by a name, with or without what was left off.

    Raises:
      InputError: there is none.

    >>> find_column("test accuracy", ["arm", "test_accuracy_mean"], UNKNOWN)
    'test_accuracy_mean'
    """
    plain = name.strip().replace(" ", "_").replace("-", "_")
    candidates = (name, comparison.headers.get(plain, plain), plain, f"{plain}_mean")
    for candidate in candidates:
        if candidate in known:
            return candidate
    raise unknown_name("column", name, [each.removesuffix("_mean") for each in known])


def _arm_name(line: Line) -> str | None:
    if line.arm is not None:
        return line.arm.name
    return None if line.group is None else "teacher"


def _group_lines(group: RunGroup, run: ComparedRun | None, rows: Sequence[Row]) -> list[Line]:
    """Return the lines of one run group: the teacher's first, then the arms in reading order."""
    lines = []
    teachers = {row["seed"] for row in rows if row["kind"] == "teacher" and row["final"]}
    if teachers:
        values = dict.fromkeys(VALUES, mean_sd([]))
        for name in ("train_loss", "test_accuracy"):
            values[name] = mean_sd(final_values(rows, None, name).values())
        lines.append(Line(group, run, None, len(teachers), len(failures(rows, None)), values))
    for arm in arms_in(rows):
        values = {}
        for column in COLUMNS:
            by_seed = (
                own_complexity(rows, arm, column.name)
                if column.source == "supervision"
                else final_values(rows, arm, column.name)
            )
            values[column.name] = mean_sd(by_seed.values())
        for name in CSV_ONLY:
            values[name] = mean_sd(final_values(rows, arm, name).values())
        failed = len(failures(rows, arm))
        lines.append(Line(group, run, arm, len(finished_seeds(rows, arm)), failed, values))
    return lines


def _sorted(lines: list[Line], comparison: Comparison) -> list[Line]:
    """Return the lines by the columns asked for; what has no value there stands last."""
    for name in reversed(comparison.sort):
        records = [record_of(line, comparison) for line in lines]
        column = find_column(name, records[0], comparison)
        keyed = [(record[column], line) for record, line in zip(records, lines, strict=True)]
        here = sorted(
            (one for one in keyed if one[0] is not None),
            key=lambda one: (isinstance(one[0], str), one[0]),
            reverse=comparison.descending,
        )
        lines = [line for _, line in here] + [line for value, line in keyed if value is None]
    return lines
