"""Several runs side by side: what their settings differ in, and how each of them ended."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from kdtheory.errors import InputError, unknown_name
from kdtheory.rows import Row

#: A setting as it is compared; lists are texts.
Value: TypeAlias = str | int | float | bool | None

#: The settings that every row holds, and that a run group's title tells.
IN_TITLES = ("dataset", "task", "teacher", "student")


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One run among several."""

    name: str
    """What it is called: its folder, or the label that was given."""
    key: str
    """The hash of its settings, as its rows have it; another text where it has no rows."""
    settings: Mapping[str, Value]
    """Its settings; those of a group of settings as "student_optimizer.learning_rate"."""
    state: str = "complete"
    """How far it is: "complete", or what keeps it from being so."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is known of several runs besides their rows, and how they are to stand side by side."""

    runs: tuple[ComparedRun, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    """{column: setting} of what the runs differ in; the setting "" is the run's own name."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Columns' names in words that were asked for; the others' are their names."""
    sort: tuple[str, ...] = ()
    """Columns by which lines are ordered; none for the order of the runs."""
    descending: bool = False
    sections: tuple[str, ...] = ()
    """Columns whose values are the tables' sections."""
    shown: tuple[str, ...] = ()
    """Numeric columns that the tables show, in this order; none for all."""

    @property
    def side_by_side(self) -> bool:
        """Whether there are columns to tell runs apart by."""
        return bool(self.columns)

    def header(self, column: str) -> str:
        """Return a column's name in words.

        >>> Comparison(columns={"learning_rate": "learning_rate"}).header("learning_rate")
        'learning rate'
        """
        return self.headers.get(column, column.replace("_", " "))

    def run(self, key: str) -> ComparedRun | None:
        """Return the run whose rows have these settings; None for one that is not known."""
        return next((run for run in self.runs if run.key == key), None)

    def values(self, key: str) -> dict[str, Value]:
        """Return what a run has in each column; nothing for one that is not known."""
        run = self.run(key)
        if run is None:
            return {}
        return {
            column: run.settings.get(setting) if setting else run.name
            for column, setting in self.columns.items()
        }

    def words(self, key: str) -> str:
        """Return what tells a run from the others, but for what stands in its group's title.

        >>> run = ComparedRun(name="a", key="s1", settings={"student": "lenet5x1", "ridge": 0.1})
        >>> Comparison(runs=(run,), columns={"student": "student", "ridge": "ridge"}).words("s1")
        'ridge 0.1'
        """
        return ", ".join(
            f"{self.header(column)} {in_words(value)}"
            for column, value in self.values(key).items()
            if self.columns[column] not in IN_TITLES
        )

    def without_rows(self, rows: Iterable[Row]) -> list[ComparedRun]:
        """Return the runs of which there is no row."""
        seen = {row["settings"] for row in rows}
        return [run for run in self.runs if run.key not in seen]


#: Nothing is known of the runs but their rows.
UNKNOWN = Comparison()


def in_words(value: Value) -> str:
    """Return a setting as it is shown.

    >>> [in_words(value) for value in (0.05, 1, True, None, "adam")]
    ['0.05', '1', 'yes', 'none', 'adam']
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def compared(runs: Sequence[ComparedRun], labels: Mapping[str, str] | None = None) -> Comparison:
    """Return the comparison of runs: a column for each setting in which they differ.

    A column has the last word of its setting's name, and more of it where two would be alike.

    Args:
      runs: in the order in which they are to stand.
      labels: other words for columns and names of runs; with a run's there is a column of names.

    Raises:
      InputError: a label of what is neither a column nor a run.

    >>> slow, fast = (ComparedRun(name=name, key=name, settings={
    ...     "student_optimizer.learning_rate": rate, "epochs": 9})
    ...     for name, rate in (("slow", 0.01), ("fast", 0.1)))
    >>> compared([slow, fast]).values("slow")
    {'learning_rate': 0.01}
    """
    columns, labels = _columns([run.settings for run in runs]), labels or {}
    names = {run.name for run in runs}
    for label in labels:
        if label not in names and label not in columns:
            raise unknown_name("column or run to be labelled:", label, {*columns, *names})
    if len({*labels.values()}) < len(labels):
        raise InputError("labels must differ from each other")
    if any(name in labels for name in names):
        columns = {"run": "", **columns}
        runs = [dataclasses.replace(run, name=labels.get(run.name, run.name)) for run in runs]
    headers = {column: text for column, text in labels.items() if column in columns}
    return Comparison(runs=tuple(runs), columns=columns, headers=headers)


def _columns(settings: Sequence[Mapping[str, Value]]) -> dict[str, str]:
    """Return {column: setting} of what is not alike in all."""
    names = dict.fromkeys(name for each in settings for name in each)
    held = {name: [repr(each.get(name)) for each in settings] for name in names}
    differing = [name for name, values in held.items() if len(set(values)) > 1]
    by_last: dict[str, list[str]] = {}
    for name in differing:
        by_last.setdefault(name.rpartition(".")[2], []).append(name)
    columns: dict[str, str] = {}
    for last, alike in by_last.items():
        if all(held[name] == held[alike[0]] for name in alike):
            # Such as a rate that is meant for teacher and student.
            columns[last] = alike[0]
        else:
            columns |= {name.replace("_optimizer.", "_"): name for name in alike}
    return columns
