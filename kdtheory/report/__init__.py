"""Tables, figures and a self-contained HTML report, made from a run's `rows.jsonl` alone.

`read_rows` reads one or several runs; `write_all` writes everything into a folder, and `summarize`,
`findings`, `print_table`, `complexity_figure` and `accuracy_figure` give the parts.
"""

from kdtheory.report.figures import accuracy_figure, complexity_figure, render
from kdtheory.report.html import write_report
from kdtheory.report.run_folder import write_all
from kdtheory.report.tables import summarize, write_tables
from kdtheory.report.terminal import print_table, stdout_console
from kdtheory.rows import checked_row
from kdtheory.statistics.findings import Finding, against_theory
from kdtheory.statistics.hypotheses import findings
from kdtheory.statistics.stored_rows import RowsRead, read_rows

__all__ = [
    "Finding",
    "RowsRead",
    "accuracy_figure",
    "against_theory",
    "checked_row",
    "complexity_figure",
    "findings",
    "print_table",
    "read_rows",
    "render",
    "stdout_console",
    "summarize",
    "write_all",
    "write_report",
    "write_tables",
]
