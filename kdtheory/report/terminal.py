"""The table in a terminal, by rich."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdtheory.report.tables import TextTable, text_table
from kdtheory.rows import Row
from kdtheory.statistics.findings import Finding
from kdtheory.statistics.hypotheses import findings

if TYPE_CHECKING:
    import rich.console
    import rich.table

# In the order in which they are printed: what contradicts the theory is not to be missed.
_STYLES = {"not seen": "bold red", "undecided": "yellow", "seen": "green"}


def stdout_console() -> "rich.console.Console":
    """Return a console on standard output, wide enough for the table where that is a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 170)


def print_table(rows: Sequence[Row], console: "rich.console.Console") -> None:
    """Print the table, and under it which hypotheses of the theory were seen and which were not.

    Where the console is too narrow for all columns side by side, they are printed as several tables
    one under the other, each with the arms.

    Raises:
        InputError: there are no rows, or one arm has several alphas.
    """
    from rich.text import Text

    table = text_table(rows)
    blocks = [_rich_table(table, columns) for columns in _blocks(table, console)]
    for block in blocks:
        console.print(block)
    for note in table.notes:
        console.print(Text(f"Note: {note}"))
    found = findings(rows)
    several = len(table.groups) > 1
    for title, _ in table.groups:
        mine = [finding for finding in found if finding.group and finding.group.title == title]
        if several and mine:
            console.print(Text(title, style="italic"))
        for verdict, style in _STYLES.items():
            _print_findings(verdict, style, [f for f in mine if f.verdict == verdict], console)
    console.print(
        Text("What each column means, the evidence and the rule of the verdicts: table.md, report.")
    )


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


def _blocks(table: TextTable, console: "rich.console.Console") -> list[list[int]]:
    """Share the columns out to tables that fit the console, each with arm and seeds before them."""
    from rich.measure import Measurement

    unbounded = console.options.update(max_width=10_000)
    blocks = [[0, 1]]
    for column in range(2, len(table.headers)):
        wider = [*blocks[-1], column]
        width = Measurement.get(console, unbounded, _rich_table(table, wider)).maximum
        if width > console.width and len(blocks[-1]) > 2:
            blocks.append([0, 1, column])
        else:
            blocks[-1] = wider
    return blocks


def _rich_table(table: TextTable, columns: Sequence[int]) -> "rich.table.Table":
    """Build a rich table of some columns."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    several = len(table.groups) > 1
    built = Table(
        box=box.SIMPLE_HEAD, title=None if several else Text(table.groups[0][0]), title_style="bold"
    )
    for column in columns:
        # Values never wrap (rich would break "1.2 ± 0.3"), so headers are broken here.
        header = table.headers[column].replace(" ", "\n")
        built.add_column(header, justify="left" if column == 0 else "right", no_wrap=True)
    for title, texts in table.groups:
        if several:
            broken = title.replace(": ", ":\n").replace(" (settings ", "\n(settings ")
            built.add_row(Text(broken, style="italic"))
        for cells in texts:
            built.add_row(*(Text(cells[column]) for column in columns))
        built.add_section()
    return built
