"""Tables as HTML, by great-tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdtheory.report.table import Table
from kdtheory.statistics.findings import RULE, Finding, marked_verdict, told_evidence, verdict_line

if TYPE_CHECKING:
    import great_tables


#: Name of the column of sections, which is not shown; no header is like it.
_SECTION = "a line's section"


def great(table: Table, found: Sequence[Finding] = (), *, alone: bool = True) -> "great_tables.GT":
    """Return a table as a great-tables object, its lines grouped by section.

    Args:
      table: what is shown.
      found: findings that are told under it.
      alone: whether the caption, what columns mean and the findings stand under the table; not on a
        page that shows them elsewhere.
    """
    import polars
    from great_tables import GT, loc, style

    headers, sections = list(table.columns), table.by_section()
    words = [header for header in headers if table.is_text(header)] or headers[:1]
    records = [
        {_SECTION: title, **dict(zip(headers, line, strict=True))}
        for title, lines in sections.items()
        for line in lines
    ]
    frame = polars.DataFrame(records)
    shown = (
        GT(frame, groupname_col=_SECTION, id=f"kdtheory_{table.name}")
        if table.sections
        else GT(frame.drop(_SECTION), id=f"kdtheory_{table.name}")
    )
    shown = (
        shown.cols_align(align="right")
        .cols_align(align="left", columns=words)
        .cols_label({header: header[:1].upper() + header[1:] for header in headers})
        .tab_options(data_row_padding_horizontal="9px", row_group_font_weight="bold")
        .tab_style(
            style.css("font-variant-numeric: tabular-nums; white-space: nowrap;"), loc.body()
        )
    )
    for common, spanned in table.spanners.items():
        shown = shown.tab_spanner(common, list(spanned))
    if not alone:
        return shown
    several = len(sections) > 1
    under = [table.caption, *(f"{header}: {text}" for header, text in table.meanings.items())]
    under += [f"Note: {note}" for note in table.notes]
    if found:
        under.append(verdict_line(found))
        for each in found:
            where = f" [{each.group.title}]" if several and each.group else ""
            under.append(
                f"{marked_verdict(each)}: {each.hypothesis}{where} ({told_evidence(each)})"
            )
        under.append(RULE)
    for text in under:
        shown = shown.tab_source_note(text)
    return shown
