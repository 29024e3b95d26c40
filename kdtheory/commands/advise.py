"""`kdtheory advise`."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from kdtheory.datasets.data_config import DataConfig
from kdtheory.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Advise:
    """Rank teachers, checkpoints, temperatures and weights for a student that is not trained yet.

    kdtheory advise resnet8 mlp512x1 --student lenet5x1 --dataset digits (trains the teachers);
    kdtheory advise runs/demo/ten --student mlp64x1 (a run's teacher, on the run's data);
    kdtheory advise teacher.npz --dataset digits --train-size 512 (logits from any framework).

    One factorisation of the student's kernel says of every candidate how often the kernel's fits
    to its targets miss the *labels* of the examples that come next. Measured, such advice does not
    beat plain rules, such as the final teacher at tau 4: docs/advise.md.
    """

    teachers: tyro.conf.Positional[tuple[str, ...]]
    """Models that are trained here, folders of runs (their seed 0), files of logits."""
    student: str = "lenet5x1"
    """Name of the student's model."""
    temperatures: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    """tau of the candidates."""
    weights: tuple[float, ...] = (0.5, 1.0)
    """Weights of the teacher in the targets, in (0, 1]; the labels get the rest."""
    ntk_size: int = 512
    """Training examples of the kernel; the latter half of them is scored."""
    warm_up: int = 0
    """Epochs of training on labels before the kernel is taken, on the training examples beyond
    --ntk-size (default: none, the kernel at initialisation)."""
    teacher_epochs: int = 20
    """Epochs of the teachers that are trained here."""
    teacher_checkpoints: int = 5
    """Evenly spaced checkpoints of these."""
    teacher_augment: bool = False
    """Whether these are trained with the data set's usual augmentation."""
    batch_size: int = 128
    """Examples an update."""
    seed: int = 0
    """Of the student's initialisation."""
    out: Path = Path("runs/advice")
    """Folder for advice.md, .csv (all candidates), .tex, .html, .png, .svg, config.json and
    provenance.json, and for the teachers that are trained here."""
    data: Annotated[DataConfig, tyro.conf.arg(name="")] = field(default_factory=DataConfig)


def advise(options: Advise) -> None:
    """Run `kdtheory advise`."""
    from kdtheory.files import write_json
    from kdtheory.report.advice_table import advice_figure, advice_table
    from kdtheory.report.result_files import csv, write_figures, write_table
    from kdtheory.report.results import CaptionedFigure
    from kdtheory.report.terminal import print_tables, stdout_console
    from kdtheory.runs.advice import (
        MEASURED,
        AdviceConfig,
        check_sizes,
        check_teacher,
        data_of,
        is_run,
        teacher_of,
        teaching_settings,
    )
    from kdtheory.runs.advice import advise as ranked
    from kdtheory.runs.progress import RunProgress
    from kdtheory.runs.provenance import provenance
    from kdtheory.training import handle_sigterm

    if not options.teachers:
        raise InputError("name at least one teacher: a model, a run's folder or a file of logits")
    if any(map(is_run, options.teachers)) and options.data != DataConfig():
        raise InputError("the data are those of the run; leave --dataset and the like out")
    config = AdviceConfig(
        student=options.student, temperatures=options.temperatures, weights=options.weights,
        size=options.ntk_size, warm_up=options.warm_up, batch_size=options.batch_size,
        seed=options.seed,
    )  # fmt: skip
    settings = teaching_settings(
        options.data, epochs=options.teacher_epochs, checkpoints=options.teacher_checkpoints,
        batch_size=options.batch_size, augment=options.teacher_augment,
    )  # fmt: skip
    events = RunProgress(batch_size=options.batch_size)
    with handle_sigterm(), events:
        dataset = data_of(options.teachers) or options.data.load(events.reading)
        for name in options.teachers:
            check_teacher(name, dataset)
        check_sizes(dataset, config)
        teachers = [
            teacher_of(
                name, dataset, settings=settings, folder=options.out / "teachers", events=events
            )
            for name in options.teachers
        ]
        advice = ranked(dataset, teachers, config, events)
    labels = [one.label for one in advice.candidates]
    notes = [f"It rests on: {'; '.join(advice.premises)}."]
    table = advice_table(labels, advice.ranked, advice.plain, notes=notes)
    everything = advice_table(labels, advice.ranked, advice.plain, whole=True)
    figure = CaptionedFigure(
        "advice", "Labels missed by the kernel's fits to each candidate's targets.",
        advice_figure(labels, advice.ranked, advice.plain),
    )  # fmt: skip
    write_table(table, options.out, data=csv(everything))
    write_figures([figure], options.out)
    write_json(options.out / "advice.json", {
        "config": asdict(options) | {"out": str(options.out)},
        "data": dict(dataset.provenance), "provenance": provenance(),
    })  # fmt: skip
    first, level = advice.ranked.order[0], int(advice.ranked.level.sum())
    print(MEASURED)
    print(
        f"First of {len(labels)} for {options.student}: {labels[first]}; {level} are level with it."
    )
    print_tables([table], stdout_console())
    print(f"all candidates: {options.out}/advice.csv    figure: {options.out}/advice.png")
