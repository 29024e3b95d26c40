"""Write what a study found into its folder: tables, figures, a summary and one page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdtheory.files import write_json, write_whole
from kdtheory.report.markdown import finding_line, markdown
from kdtheory.report.page import report_page
from kdtheory.report.result_files import write_figures, write_table
from kdtheory.report.results import Results
from kdtheory.statistics.findings import RULE, Finding, marked_verdict, verdict_line
from kdtheory.statistics.setting_health import GATE
from kdtheory.studies.study import Size, Study

SMOKE_NOTE = (
    "A smoke run: everything is shrunk to seconds, to see that the command works. The numbers mean "
    "nothing."
)


def write_results(
    study: Study,
    results: Results,
    out: Path,
    *,
    size: Size,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> list[Path]:
    """Write NAME.{md,csv,tex,html} of each table, NAME.{png,svg} of each figure, and five more.

    Those are summary.md (question, expectation, health, findings, tables), findings.json,
    config.json with provenance.json beside it, and report.html, which holds everything.

    Raises:
      RunError: a file cannot be written.
    """
    health = [results.health] if results.health is not None else []
    written = [path for table in (*health, *results.tables) for path in write_table(table, out)]
    written += write_figures(results.figures, out)
    answer = [f"Expected: {study.expected}", f"Found: {verdict_line(results.findings)}"]
    if results.findings:
        first = results.findings[0]
        answer.append(f"First: {first.hypothesis}: {first.verdict} ({first.evidence}).")
    page = report_page(
        results._replace(answer=answer),
        title=f"{study.name}: {study.question}",
        opening=[f"<strong>{SMOKE_NOTE}</strong>"] * (size == "smoke"),
        config=config,
        provenance=provenance,
    )
    return [
        *written,
        write_whole(out / "summary.md", summary(study, results, size)),
        write_json(out / "findings.json", {"findings": list(map(stored, results.findings))}),
        write_json(out / "config.json", dict(config)),
        write_json(out / "provenance.json", dict(provenance)),
        write_whole(out / "report.html", page),
    ]


def stored(each: Finding) -> dict[str, Any]:
    """Return a finding as what findings.json holds of it.

    >>> stored(Finding("a < b", "seen", "+1"))["shown"]
    'seen'
    """
    fields = each._asdict()
    del fields["group"]
    return {**fields, "settings": list(each.settings), "shown": marked_verdict(each)}


def summary(study: Study, results: Results, size: Size) -> str:
    """Return the study in Markdown: what was asked, expected and found."""
    lines = [f"# {study.name}: {study.question}", ""]
    if size == "smoke":
        lines += [SMOKE_NOTE, ""]
    lines += [f"**Expected.** {study.expected}", ""]
    if results.health is not None:
        lines += ["**The setting's health.**", "", markdown(results.health), GATE, ""]
        lines += [f"Not a fault here: {why}." for why in study.varied.values()]
        lines += [""] * bool(study.varied)
    lines += [verdict_line(results.findings), ""]
    lines += [*(f"- {note}" for note in results.notes), ""] if results.notes else []
    lines += [*map(finding_line, results.findings), "", RULE, ""]
    lines += map(markdown, results.tables)
    for name, caption, *_ in results.figures:
        lines += [f"![{caption}]({name}.png)", "", caption, ""]
    return "\n".join(lines).rstrip() + "\n"
