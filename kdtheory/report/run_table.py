"""The table: complexity of the supervision beside what the student then does, one row an arm."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kdtheory.errors import InputError
from kdtheory.plain_text import in_spreadsheet
from kdtheory.report.columns import (
    COLUMNS,
    CSV_ONLY,
    FAILED_CAPTION,
    GENERAL_CAPTION,
    SETTINGS_CAPTION,
    SOURCES,
    format_column,
)
from kdtheory.report.table import Cell, Table
from kdtheory.rows import GROUP_FIELDS, Row, Supervision
from kdtheory.statistics.groups import RunGroup, arms_in, group_rows
from kdtheory.statistics.seeds import (
    FAILED,
    MeanSd,
    failure_notes,
    failures,
    final_values,
    finished_seeds,
    mean_sd,
    own_complexity,
    unfinished_notes,
)
from kdtheory.statistics.tuning import tuning_notes

if TYPE_CHECKING:
    import polars


class _Line(NamedTuple):
    """One arm's (or the teacher's) line: `arm` None is the teacher; `values` are by field."""

    arm: Supervision | None
    seeds: int
    failed: int
    values: dict[str, MeanSd]


def summarize(rows: Sequence[Row]) -> "polars.DataFrame":
    """Return means and sample standard deviations over seeds: one row an arm, and the teacher's.

    Columns: `dataset`, `task`, `teacher`, `student`, `settings`; `arm` ("teacher" for the teacher's
    own row); `temperature` (null where there is none); `seeds`; `failed`, how many of these ended
    at chance or with a loss that never fell (they are in the means); and `<name>_mean`, `<name>_sd`
    for each of complexity, adjusted_complexity, margin (of the arm's own supervision on its own
    student, averaged over the measuring points of a seed), train_loss, train_fidelity,
    test_fidelity, ntk_similarity, test_accuracy and ntk_similarity_centred (last epoch; accuracies
    and fidelities as fractions). A value that was not measured is null, and so is the deviation of
    a single seed. Students whose training did not end are left out.

    Raises:
      InputError: there are no rows, or one arm has several alphas.

    >>> row = dict(kind="teacher", dataset="digits", task="ten", teacher="resnet8",
    ...            student="lenet5x1", settings="3f2a90bc", final=True, train_loss=0.1)
    >>> frame = summarize([dict(row, seed=0, test_accuracy=0.5),
    ...                    dict(row, seed=1, test_accuracy=0.7)])
    >>> frame.select("arm", "seeds", "test_accuracy_mean").rows()
    [('teacher', 2, 0.6)]
    """
    import polars

    records: list[dict[str, Any]] = []
    for group, lines in _lines(rows).items():
        for line in lines:
            record: dict[str, Any] = {name: getattr(group, name) for name in GROUP_FIELDS}
            record["arm"] = "teacher" if line.arm is None else line.arm.name
            record["temperature"] = None if line.arm is None else line.arm.temperature
            record["seeds"] = line.seeds
            record["failed"] = line.failed
            for name, value in line.values.items():
                record[f"{name}_mean"] = value.mean
                record[f"{name}_sd"] = value.sd
            records.append(record)
    schema: dict[str, Any] = dict.fromkeys(GROUP_FIELDS, polars.String)
    schema |= {"arm": polars.String, "temperature": polars.Float64, "seeds": polars.Int64}
    schema |= {"failed": polars.Int64}
    for name in (*(column.name for column in COLUMNS), *CSV_ONLY):
        schema |= {f"{name}_mean": polars.Float64, f"{name}_sd": polars.Float64}
    return polars.DataFrame(records, schema=schema)


def summary_csv(rows: Sequence[Row]) -> str:
    """Return `summarize` as CSV, with names that no spreadsheet takes for formulas.

    Raises:
      InputError: there are no rows, or one arm has several alphas.
    """
    import polars

    names = polars.col(polars.String).map_elements(in_spreadsheet, polars.String)
    return summarize(rows).with_columns(names).write_csv()


def run_table(rows: Sequence[Row]) -> Table:
    """Return the table of runs: a section a run group, a line an arm.

    Raises:
      InputError: there are no rows, or one arm has several alphas.
    """
    lines_of = _lines(rows)
    lines = [line for lines in lines_of.values() for line in lines]
    notes: list[str] = []
    for group, members in group_rows(rows).items():
        told = failure_notes(members, [line.arm for line in lines_of[group]])
        told += unfinished_notes(members, arms_in(members)) + tuning_notes(members)
        told += [
            f"{'teacher' if line.arm is None else line.arm.label}:"
            f" {column.header} over {line.values[column.name].seeds} of {line.seeds} seeds"
            for line in lines_of[group]
            for column in COLUMNS
            if 0 < line.values[column.name].seeds < line.seeds
        ]
        notes += [f"{group.title}: {note}" for note in told]
    columns: dict[str, list[Cell]] = {
        "arm": [_name(group, line) for group, members in lines_of.items() for line in members],
        "seeds": [line.seeds for line in lines],
    }
    for column in COLUMNS:
        # All groups together, so that a column has the same decimals throughout.
        columns[column.header] = format_column(column, [line.values[column.name] for line in lines])
    caption = GENERAL_CAPTION
    if any(group.title.endswith(f"(settings {group.settings})") for group in lines_of):
        caption += SETTINGS_CAPTION
    if any(line.failed for line in lines):
        caption += FAILED_CAPTION
    return Table(
        name="table",
        caption=caption,
        columns=columns,
        sections=[group.title for group, members in lines_of.items() for _ in members],
        meanings={column.header: column.meaning for column in COLUMNS},
        notes=notes,
        spanners={
            words: [column.header for column in COLUMNS if column.source == source]
            for source, words in SOURCES.items()
        },
    )


def _lines(rows: Sequence[Row]) -> dict[RunGroup, list[_Line]]:
    """Compute the lines of each run group: the teacher's first, then the arms in reading order."""
    if not rows:
        raise InputError("no rows to report; a run writes rows.jsonl")
    lines_of: dict[RunGroup, list[_Line]] = {}
    for group, members in group_rows(rows).items():
        lines = []
        teachers = {row["seed"] for row in members if row["kind"] == "teacher" and row["final"]}
        if teachers:
            values = {name: mean_sd([]) for name in (*(c.name for c in COLUMNS), *CSV_ONLY)}
            for name in ("train_loss", "test_accuracy"):
                values[name] = mean_sd(final_values(members, None, name).values())
            lines.append(_Line(None, len(teachers), len(failures(members, None)), values))
        for arm in arms_in(members):
            values = {}
            for column in COLUMNS:
                by_seed = (
                    own_complexity(members, arm, column.name)
                    if column.source == "supervision"
                    else final_values(members, arm, column.name)
                )
                values[column.name] = mean_sd(by_seed.values())
            for name in CSV_ONLY:
                values[name] = mean_sd(final_values(members, arm, name).values())
            failed = len(failures(members, arm))
            lines.append(_Line(arm, len(finished_seeds(members, arm)), failed, values))
        lines_of[group] = lines
    return lines_of


def _name(group: RunGroup, line: _Line) -> str:
    name = f"teacher ({group.teacher})" if line.arm is None else line.arm.label
    return f"{name} {FAILED}" if line.failed else name
