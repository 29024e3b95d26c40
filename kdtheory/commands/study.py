"""`kdtheory study`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from kdtheory.errors import InputError
from kdtheory.plain_text import say
from kdtheory.runs.launcher import Launcher


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Reproduce a finding of the paper, or go past it: one table, its figures, one report.

    kdtheory study --list names the studies, with what each costs. The same command continues a
    study that was ended in any way; what is complete is only read. Studies in the default folder
    share their teachers, and `similarity` the runs of `accuracy`.
    """

    name: tyro.conf.Positional[str | None] = None
    """Which study."""
    list: bool = False
    """Only list the studies, their questions and what each size costs."""
    smoke: bool = False
    """Shrink everything to seconds, to see that the command works; the numbers mean nothing."""
    full: bool = False
    """The paper's sizes, for an accelerator, instead of those for two cores."""
    out: Path | None = None
    """Folder of the study (default: runs/studies/NAME; runs/studies-smoke/NAME, and -full)."""
    teachers: Path | None = None
    """Folder of shared teachers (default: teachers beside the study's default folder, else OUT's
    own)."""
    seeds: int | None = None
    """Repetitions (default: the study's, at least 3); more extend a study."""
    data_dir: str | None = None
    """Folder of the prepared TFDS sets (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""
    launcher: Annotated[Launcher, tyro.conf.arg(name="")] = field(default_factory=Launcher)


def study(options: StudyOptions) -> None:
    """Run `kdtheory study`."""
    from kdtheory.report import print_results, stdout_console
    from kdtheory.studies import find_study
    from kdtheory.studies.reproduction import reproduce

    if options.list:
        _print_list()
        return
    if options.name is None:
        raise InputError("name a study (kdtheory study --list shows them)")
    if options.smoke and options.full:
        raise InputError("--smoke and --full exclude each other")
    if options.seeds is not None and options.seeds < 1:
        raise InputError(f"seeds must be at least 1, got {options.seeds}")
    chosen = find_study(options.name)
    size: Literal["smoke", "small", "full"] = (
        "smoke" if options.smoke else "full" if options.full else "small"
    )
    common = Path("runs") / {"small": "studies"}.get(size, f"studies-{size}")
    out, runs, teachers = options.out, None, options.teachers
    if out is None:
        out = common / chosen.name
        runs = common / (chosen.runs_of or chosen.name) / "runs"
        teachers = teachers or common / "teachers"
    results = reproduce(
        chosen, out, size=size, runs=runs, teachers=teachers, seeds=options.seeds,
        data_dir=options.data_dir, launcher=options.launcher,
    )  # fmt: skip
    print_results(results, stdout_console())
    say(f"report: {out}/report.html    summary: {out}/summary.md")


def _print_list() -> None:
    from rich.table import Table

    from kdtheory.report import stdout_console
    from kdtheory.studies import STUDIES

    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    for header in ("study", "question", "size: cost"):
        table.add_column(header)
    for entry in STUDIES.values():
        costs = "\n".join(f"{size}: {cost}" for size, cost in entry.costs.items())
        table.add_row(entry.name, entry.question, costs)
    stdout_console().print(table)
