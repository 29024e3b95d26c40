"""What a study is: the runs it needs, and what it makes of their rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kdtheory.report.results import Results
from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig

#: smoke: shrunk to seconds, its numbers mean nothing; small: for a laptop of two cores; full: the
#: paper's sizes, for an accelerator.
Size = Literal["smoke", "small", "full"]

#: The rows of each run of a study, by the run's name.
CaseRows: TypeAlias = Mapping[str, list[Row]]

#: {seed: value}
Values: TypeAlias = dict[int, float]


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
    runs_of: str | None = None
    """Another study whose runs these are: they are shared, not made again."""
