"""`kdtheory table`."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from kdtheory.errors import InputError
from kdtheory.plain_text import say

if TYPE_CHECKING:
    from kdtheory.rows import Row
    from kdtheory.statistics.comparison import Comparison

FigureForm = Literal["png", "svg", "pdf"]
#: Names of the table's numeric columns (a test holds them against `kdtheory.report.columns`).
ColumnName = Literal[
    "complexity",
    "adjusted_complexity",
    "margin",
    "train_loss",
    "train_fidelity",
    "test_fidelity",
    "ntk_similarity",
    "test_accuracy",
]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Put runs side by side: what differs in their settings becomes columns.

    kdtheory table runs/sweep --sort learning_rate --where arm=online --out rates.tex
    kdtheory table runs/a runs/b --columns adjusted_complexity test_accuracy --out paper.tex
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, rows.jsonl files, or folders that hold runs, such as a sweep's or a study's."""
    out: Path | None = None
    """A file (.md, .csv, .parquet, .tex, .html) to write the table to; or a folder, for the table
    in every form, figures and report.html (default: print only)."""
    where: tuple[str, ...] = ()
    """Only lines for which this holds: COLUMN and =, !=, <, >, <= or >= and a value, by the names
    of the CSV (accuracies are fractions), such as arm=online 'test_accuracy>0.5'."""
    sort: tuple[str, ...] = ()
    """Columns by which the lines are ordered, such as learning_rate or test_accuracy (default: in
    the order of the runs)."""
    descending: bool = False
    """The largest first."""
    group: tuple[str, ...] = ()
    """Columns in which runs differ, whose values become headings."""
    columns: tuple[ColumnName, ...] = ()
    """Numeric columns that are shown, in this order; what tells lines apart, the seeds and the
    state always are (default: all)."""
    label: tuple[str, ...] = ()
    """OLD=NEW: what a column in which runs differ, or a run (by its folder's name), is called."""

    figure_forms: tuple[FigureForm, ...] = ("png", "svg")
    """Forms of the figures' files in the folder --out, such as pdf for LaTeX."""
    figure_width: float | None = None
    """Width of these figures in inches, such as 3.25 for a column (panels lie below each other
    then) or 5.5 or 6.75 for a paper's page; text has eight points (default: 11, to be scaled)."""


def table(options: Table) -> None:
    """Run `kdtheory table`."""
    from kdtheory.report import print_results, run_results, stdout_console
    from kdtheory.report.figure_width import FigureWidth
    from kdtheory.report.selection import Condition, selected
    from kdtheory.runs.side_by_side import side_by_side

    if not options.runs:
        raise InputError("name at least one run folder or rows.jsonl file")
    conditions = [Condition.of(text) for text in options.where]
    if (options.figure_forms, options.figure_width) != (("png", "svg"), None) and (
        options.out is None or options.out.suffix
    ):
        raise InputError("--figure-forms and --figure-width need --out FOLDER, without ending")
    FigureWidth.of(options.figure_width)
    read = side_by_side(options.runs, _labels(options.label))
    for note in read.notes:
        say(f"note: {note}", file=sys.stderr)
    comparison = dataclasses.replace(
        read.comparison,
        sort=options.sort,
        descending=options.descending,
        sections=options.group,
        shown=options.columns,
    )
    rows, comparison = selected(read.rows, comparison, conditions)
    if options.out is not None:  # first: whoever reads the printed table may go away (`| head`)
        _write(options, options.out, rows, comparison)
    print_results(run_results(rows, comparison=comparison), stdout_console())
    if options.out is None:
        return
    there = "" if options.out.suffix else "/report.html and the tables and figures beside it"
    say(f"wrote {options.out}{there}")


def _labels(texts: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for text in texts:
        old, sign, new = text.partition("=")
        if not (old and sign and new):
            raise InputError(f"--label must be OLD=NEW, got {text!r}")
        labels[old] = new
    return labels


def _write(options: Table, out: Path, rows: "list[Row]", comparison: "Comparison") -> None:
    from kdtheory.report import write_run
    from kdtheory.report.result_files import write_one_table
    from kdtheory.report.run_table import run_table, summarize, summary_csv

    if out.suffix:
        write_one_table(
            run_table(rows, comparison),
            out,
            frame=summarize(rows, comparison),
            csv_text=summary_csv(rows, comparison),
        )
        return
    names = [str(path) for path in options.runs]
    write_run(
        rows,
        out,
        config={"runs": names, "where": options.where},
        provenance={},
        title="kdtheory: " + ", ".join(names),
        comparison=comparison,
        figure_forms=options.figure_forms,
        figure_width=options.figure_width,
    )
    write_one_table(
        run_table(rows, comparison), out / "table.parquet", frame=summarize(rows, comparison)
    )
