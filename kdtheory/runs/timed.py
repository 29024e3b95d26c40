"""What each student of a run cost: its training's seconds, read off its folder."""

from collections.abc import Sequence
from pathlib import Path

from kdtheory.rows import Row, arm_of
from kdtheory.runs.clock import training_seconds
from kdtheory.runs.tuning import student_slug
from kdtheory.statistics.tuning import chosen_rates


def timed(rows: Sequence[Row], out: Path) -> list[Row]:
    """Return a run's rows, those of finished students with the field training_seconds.

    An arm's stage before is counted with it, the teacher's training is not. A student whose
    folder tells no time is left as it is.

    Args:
      rows: of the run.
      out: its folder.
    """
    rates = chosen_rates(rows)
    found: list[Row] = []
    for row in rows:
        if row["kind"] == "student" and row["final"]:
            arm, folder = arm_of(row), out / "seeds" / str(row["seed"])
            seconds = training_seconds(folder / student_slug(arm, rates.get(arm)))
            stage = training_seconds(folder / f"{arm.slug}-stage") or 0.0
            if seconds is not None:
                row = {**row, "training_seconds": seconds + stage}
        found.append(row)
    return found
