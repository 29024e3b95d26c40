"""Carry out a study: make or continue its runs, then write what they show.

out/runs/CASE/       each run, a folder as `kdtheory run` makes it
out/teachers/        the teachers that the runs share
out/table.md, ...    tables, figures, summary.md, report.html, config.json, provenance.json
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdtheory.errors import RunError
from kdtheory.files import locked_folder, refuse_link
from kdtheory.plain_text import say
from kdtheory.report.results import Results
from kdtheory.rows import Row, tunings
from kdtheory.runs.config import RunConfig, to_json
from kdtheory.runs.execution import execute
from kdtheory.runs.jobs import failed, launch, told
from kdtheory.runs.launcher import Launcher
from kdtheory.runs.provenance import provenance
from kdtheory.runs.store import read_provenance
from kdtheory.runs.sweep import Case, Outcome
from kdtheory.runs.timed import timed
from kdtheory.statistics.findings import corrected_by_holm
from kdtheory.statistics.gate import gated
from kdtheory.statistics.groups import arms_in
from kdtheory.statistics.seeds import failure_notes
from kdtheory.statistics.stored_rows import read_rows
from kdtheory.statistics.tuning import tuning_notes
from kdtheory.studies.health import health_table, healths_of
from kdtheory.studies.results import write_results
from kdtheory.studies.study import CaseRows, Size, Study

INLINE = Launcher()


def configured_cases(
    study: Study,
    *,
    size: Size,
    runs: Path,
    teachers: Path,
    seeds: int | None = None,
    data_dir: str | None = None,
) -> tuple[Case, ...]:
    """Return a study's runs with their folders and what the caller overrides.

    Args:
      study: which.
      size: how large.
      runs: folder of the runs.
      teachers: folder of the teachers that they share.
      seeds: repetitions (default: the study's).
      data_dir: folder of the prepared TFDS sets (default: the usual ones).
    """
    changes: dict[str, Any] = {"teachers": str(teachers), "data_dir": data_dir}
    if seeds is not None:
        changes["seeds"] = seeds
    return tuple(
        Case(name=name, config=config.replace(out=str(runs / name), **changes))
        for name, config in study.cases(size).items()
    )


def reproduce(
    study: Study,
    out: Path,
    *,
    size: Size = "small",
    runs: Path | None = None,
    teachers: Path | None = None,
    seeds: int | None = None,
    data_dir: str | None = None,
    launcher: Launcher = INLINE,
    quiet: bool = False,
) -> Results:
    """Make or continue a study's runs, and write its tables, figures and report.

    Args:
      study: which.
      out: its folder.
      size: smoke, small or full.
      runs: folder of its runs (default: out/runs); runs that are complete there are only read.
      teachers: folder of shared teachers (default: out/teachers).
      seeds: repetitions (default: the study's).
      data_dir: folder of the prepared TFDS sets.
      launcher: where runs are carried out; inline with progress bars.
      quiet: show no progress.

    Raises:
      InputError: data or settings that cannot be used, or a link in the place of a run's folder.
      RunError: a run failed; those that are complete stay, and the same call goes on.
      Terminated: SIGTERM; the state of the training is saved.
    """
    cases = configured_cases(
        study, size=size, runs=runs or out / "runs", teachers=teachers or out / "teachers",
        seeds=seeds, data_dir=data_dir,
    )  # fmt: skip
    # Folders that the user names may be links; what lies in them may not.
    if runs is None:
        refuse_link(out / "runs")
    for case in cases:
        refuse_link(Path(case.config.output.out))
    if launcher.launcher == "inline":
        for number, case in enumerate(cases, 1):
            if not quiet:
                say(f"[{number}/{len(cases)}] {study.name}: {case.name}", file=sys.stderr)
            execute(case.config, quiet=quiet)
    else:
        _as_jobs(study, cases, out, launcher, quiet)
    rows: dict[str, list[Row]] = {
        case.name: timed(read_rows(out / "rows.jsonl").rows, out)
        for case in cases
        for out in [Path(case.config.output.out)]
    }
    healths = healths_of(study, cases, rows)
    notes = _notes(rows, [row for name in healths for row in study.settings(rows)[name]])
    results = study.analyse(rows)
    results = results._replace(
        notes=notes,
        health=health_table(list(healths.values())) if healths else None,
        findings=corrected_by_holm(gated(results.findings, healths, varied=study.varied)),
    )
    with locked_folder(out):
        write_results(
            study,
            results,
            out,
            size=size,
            config={
                "study": study.name,
                "size": size,
                "cases": {case.name: _stored(case.config) for case in cases},
            },
            provenance={
                "analysis": provenance(),
                "runs": {
                    case.name: read_provenance(Path(case.config.output.out)) for case in cases
                },
            },
        )
    return results


def _notes(case_rows: CaseRows, in_health: Sequence[Row]) -> list[str]:
    """Return what readers are told of the runs, a note that holds of several once.

    Args:
      case_rows: the rows of each run.
      in_health: rows whose learning rates the table of the settings' health has.
    """
    shown = {id(row) for row in in_health}
    runs: dict[str, list[str]] = {}
    for case, rows in case_rows.items():
        told = tuning_notes(rows, rates_told=not all(id(row) in shown for row in tunings(rows)))
        for note in [*failure_notes(rows, [None, *arms_in(rows)]), *told]:
            runs.setdefault(note, []).append(case)
    return [
        note if len(cases) == len(case_rows) else f"{', '.join(cases)}: {note}"
        for note, cases in runs.items()
    ]


def _stored(config: RunConfig) -> dict[str, Any]:
    """Return a run's settings without the folders of this machine."""
    values = to_json(config)
    return {k: v for k, v in values.items() if k not in ("out", "teachers", "data_dir")}


def _as_jobs(
    study: Study, cases: tuple[Case, ...], out: Path, launcher: Launcher, quiet: bool
) -> None:
    def tell(outcome: Outcome, done: int, total: int) -> None:
        if not quiet:
            say(f"{study.name} {told(outcome, done, total)}", file=sys.stderr)

    ended_early = failed(launch(cases, out, launcher, tell))
    if ended_early:
        first = ended_early[0]
        raise RunError(
            f"{len(ended_early)} of {len(cases)} runs failed, first {first.name}: {first.error}"
        )
