"""What is made of rows, of a run's as of a study's: tables, figures, findings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from kdtheory.report.table import Table
from kdtheory.statistics.findings import Finding, verdict_line

if TYPE_CHECKING:
    import matplotlib.figure


class CaptionedFigure(NamedTuple):
    """A figure, or why there is none."""

    name: str
    """Of its files, without an ending."""
    caption: str
    figure: "matplotlib.figure.Figure | str"
    """Itself, or one line that says why it cannot be drawn."""
    narrow: "matplotlib.figure.Figure | None" = None
    """The same for a narrow screen."""


class Results(NamedTuple):
    """Tables (the first is the main one), figures and findings."""

    tables: Sequence[Table]
    figures: Sequence[CaptionedFigure]
    findings: Sequence[Finding]
    notes: Sequence[str] = ()
    """What a reader must know of the runs."""
    health: Table | None = None
    """How far the networks of a study's settings came: before anything is judged."""
    answer: Sequence[str] = ()
    """What answers the question, in at most three lines; none for the findings in short."""
    caution: str = ""
    """What is said before anything else, because it must not be missed."""

    @property
    def verdict(self) -> str:
        """The findings in short, after what must not be missed."""
        return f"{self.caution} {verdict_line(self.findings)}".lstrip()
