"""What a study is: the runs it needs, and what it makes of their rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from kdtheory.report.results import Results
from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig
from kdtheory.statistics.setting_health import LOOKED_FOR, Check

#: smoke: shrunk to seconds, its numbers mean nothing; small: for a laptop of two cores; full: the
#: paper's sizes, for an accelerator.
Size = Literal["smoke", "small", "full"]

#: The rows of each run of a study, by the run's name.
CaseRows: TypeAlias = Mapping[str, list[Row]]

#: {seed: value}
Values: TypeAlias = dict[int, float]


class Expectation(NamedTuple):
    """What theory expects, as a line of the table of findings, and which findings are about it."""

    words: str
    about: tuple[str, ...] = ()
    """A finding is about it if its hypothesis holds one of these; none for all of the study's."""
    in_readme: bool = True
    """Whether it is among the dozen of the README; docs/studies/README.md has all."""


def with_labels(case_rows: CaseRows) -> dict[str, list[Row]]:
    """Return the runs whose settings can be judged: those with a student on labels.

    >>> with_labels({"online": []})
    {}
    """
    return {
        case: rows
        for case, rows in case_rows.items()
        if any(row["kind"] == "student" and row["arm"] == "labels" for row in rows)
    }


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, the runs that answer it, and the tables and figures that are made of them."""

    name: str
    """By which `kdtheory study` knows it."""
    question: str
    """One line."""
    expected: str
    """What the theory leads one to expect: a short paragraph."""
    cases: Callable[[Size], dict[str, RunConfig]]
    """The runs by name, for a size; folder, data folder and teachers' folder are set later."""
    costs: Mapping[Size, str]
    """How long each size takes, and on what it was measured."""
    analyse: Callable[[CaseRows], Results]
    """Tables, figures and findings from the rows of all runs."""
    expectations: Sequence[Expectation] = ()
    """Its lines of the table of findings (default: one, of what is expected)."""
    settings: Callable[[CaseRows], Mapping[str, list[Row]]] = with_labels
    """The rows of each setting whose health is checked, by the name of the run that has its data
    and learning rates: its rows, and those of other runs that belong to it."""
    varied: Mapping[Check, str] = field(default_factory=dict)
    """Checks of the health gate that do not close a setting here, with why: they are varied."""
    looked_for: float = LOOKED_FOR
    """The difference in accuracy that it should tell."""
    runs_of: str | None = None
    """Another study whose runs these are: they are shared, not made again."""
