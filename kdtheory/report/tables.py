"""The table: complexity of the supervision beside what the student then does, one row an arm."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kdtheory.errors import InputError
from kdtheory.files import write_whole
from kdtheory.report.columns import (
    COLUMNS,
    CSV_ONLY,
    FAILED_CAPTION,
    GENERAL_CAPTION,
    SETTINGS_CAPTION,
    format_column,
)
from kdtheory.rows import GROUP_FIELDS, Row, Supervision
from kdtheory.statistics.findings import RULE, Finding, marked_verdict, verdict_line
from kdtheory.statistics.groups import RunGroup, arms_in, group_rows
from kdtheory.statistics.hypotheses import findings
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

if TYPE_CHECKING:
    import polars


class TextTable(NamedTuple):
    """The table as text, from which every printed form is made.

    - `headers`: of all columns; the first is the arm, the second the number of seeds.
    - `groups`: for each run group its title and its lines, one text a header.
    - `caption`: what holds for the whole table.
    - `meanings`: (header, meaning) of each numeric column.
    - `notes`: what was left out, and why.
    """

    headers: list[str]
    groups: list[tuple[str, list[list[str]]]]
    caption: str
    meanings: list[tuple[str, str]]
    notes: list[str]


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

    Example:
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


def text_table(rows: Sequence[Row]) -> TextTable:
    """Return the table as text, with its captions: the content of every printed form.

    Raises:
        InputError: there are no rows, or one arm has several alphas.
    """
    lines_of = _lines(rows)
    everything = [line for lines in lines_of.values() for line in lines]
    # All groups together, so that a column has the same decimals throughout.
    cells = [
        format_column(column, [line.values[column.name] for line in everything])
        for column in COLUMNS
    ]
    groups: list[tuple[str, list[list[str]]]] = []
    notes: list[str] = []
    done = 0
    for group, lines in lines_of.items():
        texts = [
            [
                _name(group, line),
                str(line.seeds),
                *(column[done + i] for column in cells),
            ]
            for i, line in enumerate(lines)
        ]
        done += len(lines)
        groups.append((group.title, texts))
        members = group_rows(rows)[group]
        told = failure_notes(members, [line.arm for line in lines])
        told += unfinished_notes(members, arms_in(members))
        notes += [f"{group.title}: {note}" for note in told]
        notes += [
            f"{group.title}: {'teacher' if line.arm is None else line.arm.label}:"
            f" {column.header} over {line.values[column.name].seeds} of {line.seeds} seeds"
            for line in lines
            for column in COLUMNS
            if 0 < line.values[column.name].seeds < line.seeds
        ]
    headers = ["arm", "seeds", *(column.header for column in COLUMNS)]
    meanings = [(column.header, column.meaning) for column in COLUMNS]
    named = any(group.title.endswith(f"(settings {group.settings})") for group in lines_of)
    caption = GENERAL_CAPTION + (SETTINGS_CAPTION if named else "")
    if any(line.failed for line in everything):
        caption += FAILED_CAPTION
    return TextTable(headers, groups, caption, meanings, notes)


def write_tables(rows: Sequence[Row], out_dir: Path | str) -> list[Path]:
    """Write table.md, table.csv, table.tex and table.html into a folder; return their paths.

    The Markdown and the HTML show the findings under the table. The LaTeX needs the package
    `booktabs`. Each file is replaced in one step, so that a kill never leaves half of one.

    Raises:
        InputError: there are no rows, or one arm has several alphas.
    """
    from kdtheory.report.great import great_table
    from kdtheory.report.latex import latex_table

    out = Path(out_dir)
    table = text_table(rows)
    found = findings(rows)
    return [
        write_whole(out / "table.md", markdown_table(table, found)),
        write_whole(out / "table.csv", summarize(rows).write_csv()),
        write_whole(out / "table.tex", latex_table(table)),
        write_whole(out / "table.html", great_table(table, found).as_raw_html(make_page=True)),
    ]


def markdown_table(table: TextTable, found: Sequence[Finding]) -> str:
    """Return the table as Markdown with its caption and the findings under it."""
    several = len(table.groups) > 1
    headers = (["run"] if several else []) + table.headers
    lines = [] if several else [f"**{_escape_markdown(table.groups[0][0])}**", ""]
    lines.append("| " + " | ".join(headers) + " |")
    left = 2 if several else 1
    lines.append("|" + "|".join([":---"] * left + ["---:"] * (len(headers) - left)) + "|")
    for title, texts in table.groups:
        for cells in texts:
            shown = ([title] if several else []) + cells
            lines.append("| " + " | ".join(map(_escape_markdown, shown)) + " |")
    lines += ["", table.caption, ""]
    lines += [f"- **{header}**: {_escape_markdown(text)}" for header, text in table.meanings]
    if table.notes:
        lines += ["", "Notes:", "", *(f"- {_escape_markdown(note)}" for note in table.notes)]
    lines += ["", "## What the rows say about the theory", ""]
    lines += [verdict_line(found), ""]
    for title, _ in table.groups:
        mine = [finding for finding in found if finding.group and finding.group.title == title]
        if several and mine:
            lines += [f"### {_escape_markdown(title)}", ""]
        lines += [
            f"- **{marked_verdict(finding)}**: {_escape_markdown(finding.hypothesis)}"
            f" ({_escape_markdown(finding.evidence)})"
            for finding in mine
        ]
        lines += [""] if mine else []
    lines += [RULE]
    return "\n".join(lines) + "\n"


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


def _escape_markdown(text: str) -> str:
    """Escape what would end a cell or start an emphasis."""
    for special in ("\\", "|", "*", "_", "`", "<"):
        text = text.replace(special, "\\" + special)
    return text
