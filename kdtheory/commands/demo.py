"""`kdtheory demo`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Make the first table: digits, ten classes and even against odd, on every arm."""

    out: str = "runs/demo"
    """Folder of the run; a second call continues or reuses what is there."""
    seeds: int = 3
    """Number of repetitions."""
    smoke: bool = False
    """Shrink everything, to try the command in seconds; the numbers mean nothing."""
    fresh: bool = False
    """Start over."""


def demo(options: Demo) -> None:
    """Run `kdtheory demo`."""
    from kdtheory.runs.demo import run_demo

    run_demo(Path(options.out), seeds=options.seeds, smoke=options.smoke, fresh=options.fresh)
