"""The table as HTML, by great-tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdtheory.report.tables import TextTable
from kdtheory.statistics.findings import RULE, Finding, verdict_line

if TYPE_CHECKING:
    import great_tables


def great_table(table: TextTable, found: Sequence[Finding] | None) -> "great_tables.GT":
    """Return the table as a great-tables object, its lines grouped by run group.

    The caption, the meaning of each column and the findings stand under the table; with `found`
    None all of these are left out, for a page that shows them elsewhere.
    """
    import polars
    from great_tables import GT, loc, style

    headers = table.headers
    records = [
        {"run": title, **dict(zip(headers, cells, strict=True))}
        for title, texts in table.groups
        for cells in texts
    ]
    great = (
        GT(polars.DataFrame(records), groupname_col="run", id="kdtheory_table")
        .cols_align(align="right")
        .cols_align(align="left", columns=[headers[0]])
        .cols_label({header: header[:1].upper() + header[1:] for header in headers})
        .tab_options(data_row_padding_horizontal="9px", row_group_font_weight="bold")
        .tab_spanner("the arm's own supervision", headers[2:5])
        .tab_spanner("the student after the last epoch", headers[5:])
        .tab_style(
            style.css("font-variant-numeric: tabular-nums; white-space: nowrap;"), loc.body()
        )
        .tab_style(
            style.text(style="italic"),
            loc.body(rows=[i for i, r in enumerate(records) if r["arm"].startswith("teacher (")]),
        )
    )
    if found is None:
        return great
    great = great.tab_source_note(table.caption)
    for header, text in table.meanings:
        great = great.tab_source_note(f"{header}: {text}")
    for note in table.notes:
        great = great.tab_source_note(f"Note: {note}")
    great = great.tab_source_note(verdict_line(found))
    several = len(table.groups) > 1
    for finding in found:
        where = f" [{finding.group.title}]" if several and finding.group else ""
        great = great.tab_source_note(
            f"{finding.verdict}: {finding.hypothesis}{where} ({finding.evidence})"
        )
    return great.tab_source_note(RULE)
