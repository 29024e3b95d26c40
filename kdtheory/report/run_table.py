"""The table: complexity of the supervision beside what the student then does, one row an arm."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kdtheory.plain_text import in_spreadsheet
from kdtheory.report.columns import (
    CSV_ONLY,
    FAILED_CAPTION,
    GENERAL_CAPTION,
    SETTINGS_CAPTION,
    SIDE_BY_SIDE_CAPTION,
    SOURCES,
    Column,
    format_column,
    shown_columns,
)
from kdtheory.report.lines import Line, find_column, lines_of, record_of
from kdtheory.report.table import MISSING, Cell, Table
from kdtheory.rows import GROUP_FIELDS, Row
from kdtheory.statistics.comparison import IN_TITLES, UNKNOWN, Comparison, Value, in_words
from kdtheory.statistics.groups import arms_in, group_rows
from kdtheory.statistics.seeds import FAILED, failure_notes, unfinished_notes
from kdtheory.statistics.tuning import tuning_notes

if TYPE_CHECKING:
    import polars


def summarize(rows: Sequence[Row], comparison: Comparison = UNKNOWN) -> "polars.DataFrame":
    """Return means and sample standard deviations over seeds: one row an arm, and the teacher's.

    Columns: `dataset`, `task`, `teacher`, `student`, `settings`; `arm` ("teacher" for the teacher's
    own row); `temperature` (null where there is none); `seeds`; `failed`, how many of these ended
    at chance or with a loss that never fell (they are in the means); and `<name>_mean`, `<name>_sd`
    for each of complexity, adjusted_complexity, margin (of the arm's own supervision on its own
    student, averaged over the measuring points of a seed), train_loss, train_fidelity,
    test_fidelity, ntk_similarity, test_accuracy and ntk_similarity_centred (last epoch; accuracies
    and fidelities as fractions). A value that was not measured is null, and so is the deviation of
    a single seed. Students whose training did not end are left out. With a comparison there is also
    a column for each setting in which the runs differ, and `state`; a run without rows has a row;
    and where the comparison names columns, of the numeric ones these alone.

    Raises:
      InputError: there are no rows, or one arm has several alphas; an unknown column.

    >>> row = dict(kind="teacher", dataset="digits", task="ten", teacher="resnet8",
    ...            student="lenet5x1", settings="3f2a90bc", final=True, train_loss=0.1)
    >>> frame = summarize([dict(row, seed=0, test_accuracy=0.5),
    ...                    dict(row, seed=1, test_accuracy=0.7)])
    >>> frame.select("arm", "seeds", "test_accuracy_mean").rows()
    [('teacher', 2, 0.6)]
    """
    import polars

    records = [record_of(line, comparison) for line in lines_of(rows, comparison)]
    names = list(records[0])
    own = names[len(GROUP_FIELDS) : names.index("arm")]
    values = [column.name for column in shown_columns(comparison.shown)]
    for name in own:
        _as_one_kind(records, name)
    schema: dict[str, Any] = dict.fromkeys(GROUP_FIELDS, polars.String) | dict.fromkeys(own)
    schema |= {"arm": polars.String, "temperature": polars.Float64, "seeds": polars.Int64}
    schema |= {"failed": polars.Int64}
    if comparison.runs:
        schema |= {"state": polars.String}
    for name in values if comparison.shown else (*values, *CSV_ONLY):
        schema |= {f"{name}_mean": polars.Float64, f"{name}_sd": polars.Float64}
    kept = [{name: record[name] for name in schema} for record in records]
    return polars.DataFrame(kept, schema=schema, infer_schema_length=None)


def _as_one_kind(records: Sequence[dict[str, Any]], name: str) -> None:
    """Make a column texts where it holds several kinds of values."""
    kinds = {type(record[name]) for record in records} - {type(None)}
    if len(kinds) > 1 and not kinds <= {int, float}:
        for record in records:
            record[name] = None if record[name] is None else in_words(record[name])


def summary_csv(rows: Sequence[Row], comparison: Comparison = UNKNOWN) -> str:
    """Return `summarize` as CSV, with names that no spreadsheet takes for formulas.

    Raises:
      InputError: there are no rows, or one arm has several alphas.
    """
    import polars

    names = polars.col(polars.String).map_elements(in_spreadsheet, polars.String)
    return summarize(rows, comparison).with_columns(names).write_csv()


def run_table(rows: Sequence[Row], comparison: Comparison = UNKNOWN) -> Table:
    """Return the table of runs: a line an arm.

    A section a run group; where runs stand side by side, what they differ in are the first columns,
    and the sections are those that the comparison asks for. Where it names columns, there are
    no other numeric ones.

    Raises:
      InputError: there are no rows, or one arm has several alphas; an unknown column.
    """
    lines, shown = lines_of(rows, comparison), shown_columns(comparison.shown)
    columns: dict[str, list[Cell]] = {}
    if comparison.side_by_side:
        sections, columns = _side_by_side(lines, comparison)
    else:
        sections = [line.title for line in lines]
    columns["arm"] = [_name(line) for line in lines]
    columns["seeds"] = [line.seeds for line in lines]
    if any(line.run is not None and line.state != "complete" for line in lines):
        columns["state"] = [line.state for line in lines]
    for column in shown:
        # All groups together, so that a column has the same decimals throughout.
        columns[column.header] = format_column(column, [line.values[column.name] for line in lines])
    groups = dict.fromkeys(line.group for line in lines if line.group is not None)
    caption = GENERAL_CAPTION
    if comparison.side_by_side:
        caption += SIDE_BY_SIDE_CAPTION
    if any(group.title.endswith(f"(settings {group.settings})") for group in groups):
        caption += SETTINGS_CAPTION
    if any(line.failed for line in lines):
        caption += FAILED_CAPTION
    return Table(
        name="table",
        caption=caption,
        columns=columns,
        sections=sections,
        meanings={column.header: column.meaning for column in shown},
        notes=_notes(rows, lines, comparison, shown),
        spanners=_spanners(shown),
    )


def _spanners(shown: Sequence[Column]) -> dict[str, list[str]]:
    """Return what columns beside each other have in common; nothing where they are mixed."""
    blocks = [
        (source, [column.header for column in block])
        for source, block in itertools.groupby(shown, lambda column: column.source)
    ]
    named = {SOURCES[source]: headers for source, headers in blocks}
    return named if len(named) == len(blocks) else {}


def _side_by_side(
    lines: Sequence[Line], comparison: Comparison
) -> tuple[list[str], dict[str, list[Cell]]]:
    """Return the sections, and the columns of what the runs differ in."""
    values = [_values(line, comparison) for line in lines]
    taken = [find_column(name, comparison.columns, comparison) for name in comparison.sections]
    common = _common(lines)
    sections = [
        ", ".join(f"{comparison.header(c)} {_shown(each.get(c))}" for c in taken) or common
        for each in values
    ]
    columns: dict[str, list[Cell]] = {
        comparison.header(column): [_shown(each.get(column)) for each in values]
        for column in comparison.columns
        if column not in taken
    }
    if any(line.run is None for line in lines):
        columns["settings"] = [line.group.settings if line.group else MISSING for line in lines]
    return sections, columns


def _values(line: Line, comparison: Comparison) -> Mapping[str, Value]:
    if line.run is not None:
        return comparison.values(line.run.key)
    assert line.group is not None  # a run of which nothing is known but rows
    return {name: getattr(line.group, name) for name in IN_TITLES}


def _shown(value: Value) -> str:
    return MISSING if value is None else in_words(value)


def _common(lines: Sequence[Line]) -> str:
    """Return what all lines have of a run group's title, in words."""
    held: dict[str, set[str]] = {name: set() for name in IN_TITLES}
    for line in lines:
        run = {} if line.run is None else line.run.settings
        for name, values in held.items():
            values.add(str(getattr(line.group, name) if line.group else run.get(name)))
    dataset, task, teacher, student = (
        next(iter(held[name])) if len(held[name]) == 1 else "" for name in IN_TITLES
    )
    data = ", ".join(filter(None, (dataset, task)))
    if teacher and student:
        networks = f"{teacher} → {student}"
    else:
        networks = f"teacher {teacher}" * bool(teacher) + f"student {student}" * bool(student)
    return ": ".join(filter(None, (data, networks)))


def _notes(
    rows: Sequence[Row], lines: Sequence[Line], comparison: Comparison, shown: Sequence[Column]
) -> list[str]:
    """Return what a reader must know of networks that failed, and of seeds that are not there."""
    notes: list[str] = []
    for group, members in group_rows(rows, comparison).items():
        own = [line for line in lines if line.group == group]
        told = failure_notes(members, [line.arm for line in own])
        told += unfinished_notes(members, arms_in(members)) + tuning_notes(members)
        told += [
            f"{'teacher' if line.arm is None else line.arm.label}:"
            f" {column.header} over {line.values[column.name].seeds} of {line.seeds} seeds"
            for line in own
            for column in shown
            if 0 < line.values[column.name].seeds < line.seeds
        ]
        notes += [f"{group.title}: {note}" for note in told]
    return notes


def _name(line: Line) -> str:
    if line.group is None:
        return MISSING
    name = f"teacher ({line.group.teacher})" if line.arm is None else line.arm.label
    return f"{name} {FAILED}" if line.failed else name
