"""Write what a study found into its folder: tables, figures, a summary and one page."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdtheory.files import write_whole
from kdtheory.report.figures import render
from kdtheory.report.page import details, embedded, findings_table, page
from kdtheory.report.plain_table import PlainTable, great, markdown, write_plain_table
from kdtheory.statistics.findings import RULE, marked_verdict, verdict_line
from kdtheory.studies.study import Analysis, Size, Study

SMOKE_NOTE = (
    "A smoke run: everything is shrunk to seconds, to see that the command works. The numbers mean "
    "nothing."
)


def write_results(
    study: Study,
    analysis: Analysis,
    out: Path,
    *,
    size: Size,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> list[Path]:
    """Write NAME.{md,csv,tex,html} of each table, NAME.{png,svg} of each figure, and three more.

    Those are summary.md (question, expectation, findings, main table), config.json with
    provenance.json beside it, and report.html, which holds everything.

    Args:
      study: what was asked.
      analysis: what was found.
      out: the folder.
      size: smoke, small or full.
      config: the settings of all runs.
      provenance: what made them.
      notes: what a reader must know of the runs, such as networks that were not trained.

    Raises:
      InputError: a file cannot be written.
    """
    written: list[Path] = []
    for table in analysis.tables:
        written += write_plain_table(table, out)
    for figure in analysis.figures:
        written += [
            write_whole(out / f"{figure.name}.{form}", render(figure.figure, form))
            for form in ("png", "svg")
        ]
    written.append(write_whole(out / "summary.md", summary(study, analysis, size, notes)))
    for name, content in (("config", config), ("provenance", provenance)):
        text = json.dumps(dict(content), indent=2) + "\n"
        written.append(write_whole(out / f"{name}.json", text))
    report = report_page(
        study, analysis, size=size, config=config, provenance=provenance, notes=notes
    )
    written.append(write_whole(out / "report.html", report))
    return written


def summary(study: Study, analysis: Analysis, size: Size, notes: Sequence[str] = ()) -> str:
    """Return the study in Markdown: what was asked, expected and found."""
    lines = [f"# {study.name}: {study.question}", ""]
    if size == "smoke":
        lines += [SMOKE_NOTE, ""]
    lines += [f"**Expected.** {study.expected}", "", verdict_line(analysis.findings), ""]
    lines += [*(f"- {note}" for note in notes), ""] if notes else []
    lines += [
        f"- **{marked_verdict(f)}**: {f.hypothesis} ({f.evidence})" for f in analysis.findings
    ]
    lines += ["", RULE, ""]
    for table in analysis.tables:
        lines += [markdown(table)]
    for figure in analysis.figures:
        lines += [f"![{figure.caption}]({figure.name}.png)", "", figure.caption, ""]
    return "\n".join(lines).rstrip() + "\n"


def report_page(
    study: Study,
    analysis: Analysis,
    *,
    size: Size,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> str:
    """Return the page that holds everything; it refers to nothing outside itself."""
    parts = [f"<h1>{html.escape(study.name)}: {html.escape(study.question)}</h1>"]
    if size == "smoke":
        parts.append(f"<p><strong>{html.escape(SMOKE_NOTE)}</strong></p>")
    parts += [
        f"<p>{html.escape(study.expected)}</p>",
        f'<p class="verdict">{html.escape(verdict_line(analysis.findings))}</p>',
        *(f"<p>{html.escape(note)}</p>" for note in notes),
        *(_table(table) for table in analysis.tables),
        *(embedded(figure.figure, figure.caption) for figure in analysis.figures),
        "<h2>What the rows say about the theory</h2>",
        findings_table(analysis.findings),
        "<h2>How it was made</h2>",
        details("Configuration", config),
        details("Provenance", provenance),
    ]
    return page(f"kdtheory study {study.name}", parts)


def _table(table: PlainTable) -> str:
    return f'<div class="wide">{great(table).as_raw_html()}</div>'
