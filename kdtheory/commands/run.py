"""`kdtheory run`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from kdtheory.runs.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Run:
    """Train a teacher and students on every arm; write the complexity-versus-accuracy table.

    kdtheory run --dataset digits --task even_odd --teacher resnet8 --epochs 10 (minutes);
    kdtheory run --dataset cifar100 --arms labels offline --kernel none (accuracies alone);
    kdtheory run --config runs/run/config.json --seeds 5 (more seeds of a run, where it lies).

    An option such as --learning-rate, named by its last word alone, is meant for the teacher and
    the students; one written in full (--student-optimizer.learning-rate) goes before it.
    """

    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    config: Path | None = None
    """JSON file of settings, such as a run's config.json; flags override it."""
    recipe: str | None = None
    """A published training protocol, whose settings flags override. crd: the tables of CIFAR-100
    (240 epochs, batch 64, rate 0.05 divided by ten at 150, 180, 210, crop and flip, alpha 0.9,
    tau 4)."""
    fresh: bool = False
    """Start over: delete what an earlier run left in the folder."""


def run(options: Run) -> None:
    """Run `kdtheory run`."""
    from kdtheory.runs.demo import show
    from kdtheory.runs.execution import execute

    show(execute(options.run, fresh=options.fresh), Path(options.run.output.out))
