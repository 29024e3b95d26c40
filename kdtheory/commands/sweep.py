"""`kdtheory sweep`."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from kdtheory.errors import InputError
from kdtheory.plain_text import say
from kdtheory.runs.launcher import Launcher

if TYPE_CHECKING:
    from kdtheory.runs.sweep import Outcome


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Carry out many runs that differ in some settings, described by a file; one table of all.

    The file (.toml or .json) has a table [base] of a run's settings, a table [grid] of lists whose
    every combination becomes a run, and [[cases]] for single runs. The same command again carries
    out what is missing; two sweeps of one folder share the work.
    """

    file: tyro.conf.Positional[Path]
    """The sweep's description, such as sweep.toml."""
    out: Path = Path("runs/sweep")
    """Folder of the sweep: a folder for each run, the table of all, the jobs' logs."""
    list: bool = False
    """Only say which runs the file describes."""
    launcher: Annotated[Launcher, tyro.conf.arg(name="")] = field(default_factory=Launcher)


def sweep(options: Sweep) -> None:
    """Run `kdtheory sweep`."""
    from kdtheory.runs.jobs import failed, launch, told
    from kdtheory.runs.sweep import SWEEP_FILE, read_sweep, write_sweep

    cases = read_sweep(options.file, options.out)
    if options.list:
        for case in cases:
            say(case.name)
        return

    own = options.out / SWEEP_FILE
    if own.exists() and own.samefile(options.file):
        raise InputError(f"{own} is where the sweep keeps its runs; give the description elsewhere")
    write_sweep(cases, options.out)
    outcomes = launch(
        cases,
        options.out,
        options.launcher,
        lambda *ended: say(told(*ended), file=sys.stderr, flush=True),
    )
    found = [options.out / outcome.name for outcome in outcomes]
    measured = [folder for folder in found if (folder / "rows.jsonl").exists()]
    if measured:
        _report(options, [failure_note(outcome, options.out) for outcome in failed(outcomes)])
    for outcome in failed(outcomes):
        where = "" if outcome.log is None else f" (log: {outcome.log})"
        say(f"error: {outcome.name}: {outcome.error}{where}", file=sys.stderr)
    if failed(outcomes):
        print(f"{len(failed(outcomes))} of {len(cases)} runs failed", file=sys.stderr)
        raise SystemExit(1)


def failure_note(outcome: "Outcome", out: Path) -> str:
    """Return the sentence about a run that failed, for the page: what is there of it."""
    done = (out / outcome.name / "rows.jsonl").exists()
    what = "its finished seeds are in the table" if done else "it has measured nothing"
    return f"FAILED: {outcome.name} ({what}): {outcome.error}"


def _report(options: Sweep, notes: list[str]) -> None:
    """Write and print the table of the folder's runs side by side, the failed ones marked."""
    from kdtheory.report import (
        print_results,
        run_results,
        stdout_console,
        write_run,
    )
    from kdtheory.runs.side_by_side import side_by_side

    read = side_by_side([options.out])
    write_run(
        read.rows,
        options.out,
        config={"sweep": str(options.file), "runs": [run.name for run in read.comparison.runs]},
        provenance={},
        title=f"kdtheory sweep: {options.file.name}",
        notes=[*read.notes, *notes],
        comparison=read.comparison,
    )
    print_results(run_results(read.rows, comparison=read.comparison), stdout_console())
    for note in notes:
        say(note)
    say(f"report: {options.out}/report.html    table: {options.out}/table.md")
