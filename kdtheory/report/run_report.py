"""What a run's rows give, alone or with other runs': table, figures, findings; and their files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdtheory.errors import InputError
from kdtheory.files import write_whole
from kdtheory.report.answer import answer_lines
from kdtheory.report.certificate_table import certificate_table
from kdtheory.report.figure_width import FigureWidth
from kdtheory.report.figures import accuracy_figure, complexity_figure
from kdtheory.report.guide import GUIDE
from kdtheory.report.page import report_page
from kdtheory.report.result_files import write_figures, write_table
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.run_table import run_table, summary_csv
from kdtheory.rows import Row
from kdtheory.statistics.comparison import UNKNOWN, Comparison
from kdtheory.statistics.hypotheses import findings
from kdtheory.statistics.seeds import failure_line

if TYPE_CHECKING:
    import matplotlib.figure

_ABOUT = (
    "How complex is each kind of supervision for the student, and how well does the student"
    " then do? Supervision complexity in the student’s neural tangent kernel, after"
    " Harutyunyan et al., “Supervision Complexity and its Role in Knowledge Distillation”"
    " (ICLR 2023, arXiv 2301.12245). Everything on this page was computed from the run’s"
    " <code>rows.jsonl</code>."
)

_COMPLEXITY_CAPTION = (
    "Adjusted supervision complexity along the student’s training. Left: every supervision measured"
    " on one and the same student, where the values are directly comparable. Right: the supervision"
    " that each arm was trained on, measured on that arm’s student; the table averages these curves"
    " over the measuring points. Lines are means over seeds, bands one standard deviation to each"
    " side (none with one seed)."
)
_ACCURACY_CAPTION = (
    "Left (above on a narrow screen): test accuracy after the last epoch. The dashed line and the"
    " grey band are the teacher’s mean and standard deviation. Right: the same accuracy against the"
    " adjusted complexity of the arm’s own supervision. If less complex supervision helps, the"
    " marks fall from left to right."
)

#: The page's figures, that which answers its question first: how each is drawn, and its caption.
_FIGURES: Mapping[str, tuple[Callable[..., "matplotlib.figure.Figure"], str]] = {
    "accuracy": (accuracy_figure, _ACCURACY_CAPTION),
    "complexity": (complexity_figure, _COMPLEXITY_CAPTION),
}

#: Inches of a figure that is read on a phone.
_PHONE = 3.8


def run_results(
    rows: Sequence[Row], notes: Sequence[str] = (), comparison: Comparison = UNKNOWN
) -> Results:
    """Return what the rows of one or several runs give; figures are drawn by `write_run`.

    Raises:
      InputError: there are no rows, or one arm has several alphas.
    """
    certified, found = certificate_table(rows), findings(rows, comparison)
    return Results(
        tables=[run_table(rows, comparison), *([] if certified is None else [certified])],
        figures=[],
        findings=found,
        notes=notes,
        answer=answer_lines(rows, found, comparison),
        caution=" ".join(failure_line(rows)),
    )


def write_run(
    rows: Sequence[Row],
    out_dir: Path | str,
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    title: str,
    notes: Sequence[str] = (),
    comparison: Comparison = UNKNOWN,
    figure_forms: Sequence[str] = ("png", "svg"),
    figure_width: float | None = None,
) -> list[Path]:
    """Write tables, figures and the report into a folder; return the paths that were written.

    These are table.md, table.csv, table.tex, table.html, complexity.png and .svg, accuracy.png and
    .svg, and report.html; where something is certified, certificates.md, .csv, .tex and .html.
    A figure for which the rows hold nothing is not written, and an old one
    of that name is removed, so that the folder never shows another run's figure; the report says
    why it is missing. The Markdown and the HTML show the findings under the table; the LaTeX needs
    the packages `booktabs` and `graphicx`.

    Args:
      rows: the checked rows of one or several runs.
      out_dir: the folder; made where it is missing.
      config: the run's configuration, as it would be written to JSON.
      provenance: versions, machine, times: whatever the run recorded.
      title: the report's heading.
      notes: lines for the reader, such as how the difficulty was chosen or what was left out.
      comparison: what is known of several runs besides their rows.
      figure_forms: of the figures' files: png, svg, pdf.
      figure_width: of these, in inches (default: that of a page).

    Raises:
      InputError: there are no rows, or one arm has several alphas; no figure has such a form or
        width.
      RunError: a file cannot be written.
    """
    out = Path(out_dir)
    # The width first: a wrong one is told before anything is written.
    own = [_figure(rows, comparison, name, figure_width) for name in _FIGURES]
    results = run_results(rows, notes, comparison)
    data = summary_csv(rows, comparison)
    written = write_table(results.tables[0], out, found=results.findings, data=data)
    for table in results.tables[1:]:
        written += write_table(table, out)
    written += write_figures(own, out, figure_forms)
    if figure_width is not None:
        own = [_figure(rows, comparison, name) for name in _FIGURES]
    narrow = _figure(rows, comparison, "accuracy", _PHONE).figure
    first = own[0] if isinstance(narrow, str) else own[0]._replace(narrow=narrow)
    page = report_page(
        results._replace(figures=[first, *own[1:]]), title=title, about=[_ABOUT], config=config,
        provenance=provenance, guide=GUIDE,
    )  # fmt: skip
    return [*written, write_whole(out / "report.html", page)]


def _figure(
    rows: Sequence[Row], comparison: Comparison, name: str, width: float | None = None
) -> CaptionedFigure:
    draw, caption = _FIGURES[name]
    FigureWidth.of(width)
    try:
        return CaptionedFigure(name, caption, draw(rows, comparison, width=width))
    except InputError as error:
        return CaptionedFigure(name, caption, str(error))
