"""Tables, figures and a self-contained HTML report, made from a run's `rows.jsonl` alone.

`read_rows` reads one or several runs; `write_run` writes everything into a folder, and `summarize`,
`findings`, `complexity_figure` and `accuracy_figure` give the parts.
"""

from kdtheory.report.figures import accuracy_figure, complexity_figure
from kdtheory.report.run_report import run_results, write_run
from kdtheory.report.run_table import summarize
from kdtheory.report.terminal import print_results, stdout_console
from kdtheory.statistics.hypotheses import findings
from kdtheory.statistics.stored_rows import read_rows

__all__ = [
    "accuracy_figure",
    "complexity_figure",
    "findings",
    "print_results",
    "read_rows",
    "run_results",
    "stdout_console",
    "summarize",
    "write_run",
]
