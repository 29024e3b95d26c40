"""Tables and findings as Markdown."""

from collections.abc import Sequence

from kdtheory.plain_text import in_markdown
from kdtheory.report.table import Table
from kdtheory.statistics.findings import (
    RULE,
    Finding,
    by_group,
    marked_verdict,
    told_evidence,
    verdict_line,
)


def markdown(table: Table) -> str:
    """Return a table as Markdown, with its caption and what belongs to it under it."""
    sections = table.by_section()
    headers, several = list(table.columns), len(sections) > 1
    # A single section's title stands above the table; of several each line has its own.
    lines = [f"**{_escaped(table.sections[0])}**", ""] if table.sections and not several else []
    align = {header: ":---" if table.is_text(header) else "---:" for header in headers}
    lines.append("| " + " | ".join(["run"] * several + headers) + " |")
    lines.append("|" + "|".join([":---"] * several + list(align.values())) + "|")
    for title, cells_of_lines in sections.items():
        for cells in cells_of_lines:
            shown = list(map(in_markdown, cells))
            lines.append("| " + " | ".join([_escaped(title)] * several + shown) + " |")
    lines += ["", table.caption, ""]
    if table.meanings:
        lines += [f"- **{header}**: {_escaped(text)}" for header, text in table.meanings.items()]
        lines.append("")
    if table.notes:
        lines += ["Notes:", "", *(f"- {_escaped(note)}" for note in table.notes), ""]
    return "\n".join(lines)


def findings_markdown(found: Sequence[Finding]) -> str:
    """Return findings as Markdown: the count, each under its run group, and the rule."""
    groups = by_group(found)
    lines = ["## What the rows say about the theory", "", verdict_line(found), ""]
    for title, members in groups.items():
        lines += [f"### {_escaped(title)}", ""] if len(groups) > 1 else []
        lines += [*map(finding_line, members), ""]
    return "\n".join([*lines, RULE, ""])


def finding_line(each: Finding) -> str:
    """Return one finding as an item of a list."""
    return f"- **{marked_verdict(each)}**: {each.hypothesis} ({told_evidence(each)})"


def _escaped(text: str) -> str:
    """Escape what would end a cell, start an emphasis, or be a link or HTML."""
    for special in ("\\", "*", "_", "`"):
        text = text.replace(special, "\\" + special)
    return in_markdown(text)
