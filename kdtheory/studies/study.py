"""What a study is: the runs it needs, and what it makes of their rows."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from kdtheory.report.findings import Verdict, judge
from kdtheory.report.plain_table import PlainTable
from kdtheory.rows import Row
from kdtheory.runs.config import RunConfig

if TYPE_CHECKING:
    import matplotlib.figure

#: smoke: shrunk to seconds, its numbers mean nothing; small: for a laptop of two cores; full: the
#: paper's sizes, for an accelerator.
Size = Literal["smoke", "small", "full"]

#: The rows of each run of a study, by the run's name.
CaseRows: TypeAlias = Mapping[str, list[Row]]


class StudyFigure(NamedTuple):
    """A figure of a study: its files' name, its caption, and the figure itself."""

    name: str
    caption: str
    figure: "matplotlib.figure.Figure"


class StudyFinding(NamedTuple):
    """One hypothesis held against a study's rows; `report.findings.RULE` says how."""

    hypothesis: str
    verdict: Verdict
    evidence: str


class Analysis(NamedTuple):
    """What a study makes of its rows; the first table is the main one."""

    tables: list[PlainTable]
    figures: list[StudyFigure]
    findings: list[StudyFinding]


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
    analyse: Callable[[CaseRows], Analysis]
    """Tables, figures and findings from the rows of all runs."""
    runs_of: str | None = None
    """Another study whose runs these are: they are shared, not made again."""


def finding(
    hypothesis: str, values: Collection[float], *, scale: float | int = 1, unit: str = ""
) -> StudyFinding:
    """Judge that the mean of one value a seed is positive.

    Args:
      hypothesis: what is predicted, in words.
      values: one number a seed, positive where the hypothesis holds.
      scale: factor of the numbers as they are told.
      unit: their unit as it is told.

    >>> finding("labels are more complex", [1.0, 1.1, 0.9], unit=" adjusted").verdict
    'seen'
    >>> finding("nothing measured", []).verdict
    'undecided'
    """
    if not values:
        return StudyFinding(hypothesis, "undecided", "not measured")
    verdict, effect, half_width = judge(values)
    text = f"{scale * effect:+.3g}"
    if half_width is None:
        return StudyFinding(hypothesis, verdict, f"{text}{unit} (one seed)")
    text += f" ± {scale * half_width:.2g}{unit} (95 %, {len(values)} values)"
    return StudyFinding(hypothesis, verdict, text)
