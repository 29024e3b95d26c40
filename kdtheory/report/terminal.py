"""Results in a terminal, by rich."""

import itertools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdtheory.report.results import Results
from kdtheory.report.table import Table
from kdtheory.statistics.findings import Finding, by_group

if TYPE_CHECKING:
    import rich.console
    import rich.table

# In the order in which they are printed: what contradicts the theory is not to be missed.
_STYLES = {"not seen": "bold red", "undecided": "yellow", "seen": "green"}


def stdout_console() -> "rich.console.Console":
    """Return a console on standard output, wide enough for the table where that is a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 170)


def print_results(results: Results, console: "rich.console.Console") -> None:
    """Print the tables, and under them which hypotheses of the theory were seen and which not.

    Where the console is too narrow for all columns side by side, they are printed as several tables
    one under the other, each with the columns of words.
    """
    from rich.text import Text

    print_tables([*([results.health] if results.health else []), *results.tables], console)
    groups = by_group(results.findings)
    for title, members in groups.items():
        if len(groups) > 1:
            console.print(Text(title, style="italic"))
        for verdict, style in _STYLES.items():
            judged = [f for f in members if f.verdict == verdict and not f.open]
            _print_findings(verdict, style, judged, console)
        _print_findings("open", "yellow", [f for f in members if f.open], console)
    console.print(Text(results.verdict))
    console.print(
        Text("What each column means, the evidence and the rule of the verdicts: report.html.")
    )


def print_tables(tables: Sequence[Table], console: "rich.console.Console") -> None:
    """Print tables, in as many blocks of columns as the console needs, and their notes."""
    from rich.text import Text

    for table in tables:
        for headers in _blocks(table, console):
            console.print(_rich_table(table, headers))
        for note in table.notes:
            console.print(Text(f"Note: {note}"))


def _print_findings(
    verdict: str, style: str, found: Sequence[Finding], console: "rich.console.Console"
) -> None:
    """Print one verdict's hypotheses; the evidence of those that the data contradict."""
    from rich.padding import Padding
    from rich.text import Text

    if not found:
        return
    listed = []
    for finding in found:
        text = finding.hypothesis
        if verdict == "not seen":
            text += f" ({finding.evidence})"
        elif verdict == "undecided" and finding.effect is not None and finding.effect < 0:
            text += " (the mean goes against it)"
        listed.append(text)
    words = Text.assemble((f"{verdict} ({len(found)}): ", style), "; ".join(listed))
    console.print(Padding(words, (0, 0, 0, 2)))


def _blocks(table: Table, console: "rich.console.Console") -> list[list[str]]:
    """Share the columns out to tables that fit the console, each with those of words before it."""
    from rich.measure import Measurement

    unbounded = console.options.update(max_width=10_000)
    leading = _leading(table)
    blocks = [leading]
    for header in list(table.columns)[len(leading) :]:
        wider = [*blocks[-1], header]
        width = Measurement.get(console, unbounded, _rich_table(table, wider)).maximum
        if width > console.width and len(blocks[-1]) > len(leading):
            blocks.append([*leading, header])
        else:
            blocks[-1] = wider
    return blocks


def _leading(table: Table) -> list[str]:
    """Return the headers of a table's first columns, which say what a line is about."""
    return list(itertools.takewhile(table.is_text, table.columns)) or list(table.columns)[:1]


def _rich_table(table: Table, headers: Sequence[str]) -> "rich.table.Table":
    """Build a rich table of some columns."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    sections, places = table.by_section(), [list(table.columns).index(h) for h in headers]
    several = len(sections) > 1
    title = "" if several else next(iter(sections), "") or table.name
    built = RichTable(box=box.SIMPLE_HEAD, title=Text(title) if title else None, title_style="bold")
    for header in headers:
        # Values never wrap (rich would break "1.2 ± 0.3"), so headers are broken here.
        words = header.replace(" ", "\n")
        built.add_column(words, justify="left" if table.is_text(header) else "right", no_wrap=True)
    for heading, lines in sections.items():
        if several:
            broken = heading.replace(": ", ":\n").replace(" (settings ", "\n(settings ")
            built.add_row(Text(broken, style="italic"))
        for line in lines:
            built.add_row(*(Text(line[place]) for place in places))
        built.add_section()
    return built
