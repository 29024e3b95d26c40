"""`kdtheory runs`."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Runs:
    """List runs: how far each is, and the test accuracies it found."""

    folders: tyro.conf.Positional[tuple[Path, ...]] = (Path("runs"),)
    """Folders to look in, four levels deep."""
    json: bool = False
    """Print one JSON object a run."""


def runs(options: Runs) -> None:
    """Run `kdtheory runs`."""
    from rich.table import Table
    from rich.text import Text

    from kdtheory.files import json_text
    from kdtheory.plain_text import plain
    from kdtheory.report import stdout_console
    from kdtheory.runs.listing import find_runs

    found = find_runs(options.folders)
    if options.json:
        for run in found:
            values = run._asdict() | {
                "folder": str(run.folder),
                "changed": run.changed.isoformat(timespec="seconds"),
                "accuracies": dict(run.accuracies),
            }
            print(json_text(values))
        return
    if not found:
        print(f"no runs in {', '.join(map(str, options.folders))}; start one with: kdtheory run")
        return
    table = Table("run", "state", "seeds", "what", "test accuracy %", "changed")
    for run in found:
        accuracies = "\n".join(f"{name} {100 * value:.2f}" for name, value in run.accuracies)
        when = run.changed.strftime("%Y-%m-%d %H:%M")
        shown = (str(run.folder), run.state, run.seeds, run.what)
        table.add_row(*(Text(plain(text)) for text in shown), Text(accuracies), when)
    stdout_console().print(table)
