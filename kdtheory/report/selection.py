"""Some lines of the table only: those for which what was asked holds."""

import dataclasses
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from kdtheory.errors import InputError
from kdtheory.report.lines import find_column, lines_of, record_of
from kdtheory.rows import Row, arm_of
from kdtheory.statistics.comparison import Comparison, in_words

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_WRITTEN = re.compile(r"(?P<column>[^=<>!]+)(?P<sign>!=|<=|>=|=|<|>)(?P<value>.+)")


class Condition(NamedTuple):
    """What is asked of a line: a column, a sign and a value."""

    column: str
    sign: str
    value: str

    @classmethod
    def of(cls, text: str) -> "Condition":
        """Return the condition that a text such as "test_accuracy>0.5" is.

        Raises:
          InputError: it is none.

        >>> Condition.of("arm != labels")
        Condition(column='arm', sign='!=', value='labels')
        """
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise InputError(
                f"{text!r} is no condition; write COLUMN, one of {' '.join(_OPERATORS)}, and a "
                "value, such as arm=online or 'test_accuracy>0.5'"
            )
        return cls(*(part.strip() for part in found.groups()))

    def holds(self, value: Any) -> bool:
        """Return whether a value of the column is as is asked; numbers as numbers, else as texts.

        >>> Condition.of("rate<0.1").holds(0.05), Condition.of("arm=labels").holds("online")
        (True, False)
        """
        compare = _OPERATORS[self.sign]
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return compare(value, float(self.value))
            except ValueError:
                pass
        if self.sign not in ("=", "!="):
            return False
        return compare(in_words(value), self.value)


def selected(
    rows: Sequence[Row], comparison: Comparison, conditions: Sequence[Condition]
) -> tuple[list[Row], Comparison]:
    """Return the rows of the lines for which every condition holds, and the runs that are left.

    Args:
      rows: of several runs.
      comparison: what is known of the runs besides.
      conditions: of the columns of `summarize`, accuracies and fidelities as fractions.

    Raises:
      InputError: an unknown column, or no line is left.
    """
    if not conditions:
        return list(rows), comparison
    kept: set[tuple[str | None, Any]] = set()
    for line in lines_of(rows, comparison):
        record = record_of(line, comparison)
        if all(
            asked.holds(record[find_column(asked.column, record, comparison)])
            for asked in conditions
        ):
            key = line.group.settings if line.group else line.run.key if line.run else None
            kept.add((key, line.arm if line.group else "no rows"))
    keys = {key for key, _ in kept}
    left = [
        row
        for row in rows
        if (row["kind"] == "bound" and row["settings"] in keys)
        or (row["settings"], _arm(row)) in kept
    ]
    if not left:
        raise InputError("no line of the table is left; ask for less with --where")
    runs = tuple(run for run in comparison.runs if run.key in keys)
    return left, dataclasses.replace(comparison, runs=runs)


def _arm(row: Row) -> Any:
    if row["kind"] in ("student", "complexity", "tuning"):
        return arm_of(row)
    return None if row["kind"] == "teacher" else "a bound"
