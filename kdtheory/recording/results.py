"""What a recorder measured, as a table, and as files: table, figure and rows."""

from collections.abc import Sequence
from pathlib import Path

from kdtheory.errors import InputError
from kdtheory.files import json_text, write_whole
from kdtheory.measure.values import Interval
from kdtheory.plain_text import in_spreadsheet
from kdtheory.recording.figure import along_figure
from kdtheory.recording.recorded import Recorded
from kdtheory.report.result_files import write_figures, write_table
from kdtheory.report.results import CaptionedFigure
from kdtheory.report.table import Cell, Digits, Line, Table

#: The file of the rows: one JSON object a step and set of targets.
ROWS = "complexity.jsonl"

_CAPTION = (
    "Supervision complexity of sets of targets along a training. K is the network's NTK Gram "
    "matrix at each step, on the same examples."
)
_MEANINGS = {
    "step": "Updates of the network.",
    "complexity": "Y^T (K + lambda I)^-1 Y. Its scale is that of K, which changes along training.",
    "adjusted": "(1/n) sqrt(complexity · Tr K): the scale of K taken out.",
    "adjusted / rms": "The same over the targets' root mean square: does not change when targets "
    "are scaled, as by a temperature, and so orders sets of targets.",
    "margin": "Mean margin of the targets on the labels.",
    "lambda": "The ridge as used, in the unit of K.",
}
_INTERVALS = " [lower, upper] is certain to hold the value, of a kernel that did not fit in memory."


def along_table(points: Sequence[Recorded]) -> Table:
    """Return what was measured as a table: a line a set of targets and step.

    Raises:
      InputError: nothing was recorded.
    """
    if not points:
        raise InputError("nothing was recorded; call the recorder with a step and variables")
    names = dict.fromkeys(point.targets for point in points)
    ordered = [point for name in names for point in points if point.targets == name]
    margins = any(point.value.margin is not None for point in points)
    exact = all(point.value.exact for point in points)
    lines: list[Line] = []
    for point in ordered:
        value = point.value
        line: dict[str, Cell] = {
            "targets": point.targets,
            "step": point.step,
            "complexity": _cell(value.complexity),
            "adjusted": _cell(value.adjusted),
            "adjusted / rms": _cell(value.over_rms),
        }
        if margins:
            line["margin"] = value.margin
        lines.append({**line, "lambda": value.ridge})
    made = Table.of_lines("complexity", _CAPTION + _INTERVALS * (not exact), lines)
    return Table(
        made.name,
        made.caption,
        made.columns,
        meanings={header: text for header, text in _MEANINGS.items() if header in made.columns},
    )


def write_along(points: Sequence[Recorded], out: Path) -> list[Path]:
    """Write complexity.md, .csv, .tex, .html, .png, .svg and complexity.jsonl; return their paths.

    Raises:
      InputError: nothing was recorded.
      RunError: a file cannot be written.
    """
    import polars

    table = along_table(points)
    rows = [point.row() for point in points]
    frame = polars.DataFrame(rows, infer_schema_length=None).with_columns(
        polars.col("targets").map_elements(in_spreadsheet, polars.String)
    )
    figure = CaptionedFigure(table.name, table.caption, along_figure(points))
    return [
        *write_table(table, out, data=frame.write_csv()),
        *write_figures([figure], out),
        write_whole(out / ROWS, "".join(json_text(row) + "\n" for row in rows)),
    ]


def _cell(interval: Interval) -> Cell:
    if interval.value is not None:
        return interval.value
    return Digits(f"{interval:.4g}")
