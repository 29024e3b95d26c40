"""Is `kdtheory advise` any good? Accuracy lost by each rule's choice, against trained students.

    KDTHEORY_DATA_DIR=... OPENBLAS_NUM_THREADS=1 python experiments/advise.py

Four tasks, three students, seeds. Candidates: labels; ResNet-8 after a third, two thirds and all of
its training, and an MLP after all of its, each at tau 1 and 4 and weight 0.5 and 1: 17. Every
candidate trains the student (20 to 30 epochs); the truth is the mean test accuracy over seeds. Each
rule chooses for each student and seed by what it may see, which is never the test split; its regret
is the best candidate's mean accuracy less that of the chosen one. One teacher of each kind a task.

The same command continues what was cut off. Expected run time: 20 minutes of one core.
Result seen: experiments/results/advise/table.md.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
import tyro
from regret_tables import publish

from kdtheory import models
from kdtheory.bounds import rank_supervisions
from kdtheory.bounds.kernel_sample import RIDGES
from kdtheory.complexity import factorize
from kdtheory.datasets import ImageDataset, normalize
from kdtheory.datasets.data_config import DataConfig
from kdtheory.errors import InputError
from kdtheory.files import json_text, write_json, write_whole
from kdtheory.runs.advice import (
    AdviceConfig,
    Candidate,
    Teacher,
    candidates_of,
    student_kernel,
    targets_of,
    teacher_of,
    teaching_settings,
    warmed_up,
)
from kdtheory.runs.events import Events
from kdtheory.runs.provenance import provenance
from kdtheory.targets import tabulate, tabulated
from kdtheory.targets.decisions import accuracy
from kdtheory.training import OptimizerConfig, Trainer, predict_logits

_SMALL = {"validation_size": 250, "image_size": (16, 16)}


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data set, its size, and how long networks train on it."""

    data: DataConfig
    epochs: int
    teacher_epochs: int


TASKS = {
    "digits, even or odd": Task(
        data=DataConfig(task="even_odd", train_size=512, validation_size=250),
        epochs=30, teacher_epochs=30,
    ),
    "digits, ten": Task(
        data=DataConfig(task="full", train_size=512, validation_size=250),
        epochs=30, teacher_epochs=30,
    ),
    "CIFAR-100, five classes": Task(
        data=DataConfig(dataset="cifar100", task="classes:0-4", train_size=1000, **_SMALL),
        epochs=20, teacher_epochs=30,
    ),
    "CIFAR-100, dolphin or whale": Task(
        data=DataConfig(dataset="cifar100", task="classes:30,95", train_size=750, **_SMALL),
        epochs=20, teacher_epochs=30,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    students: tuple[str, ...] = ("mlp16x1", "mlp128x1", "lenet5x1")
    """Models of the students."""
    seeds: int = 3
    """Initialisations and orders of the students."""
    warm_up: int = 3
    """Epochs on labels, on half of the training examples, before the second kernel is taken."""
    out: Path = Path("experiments/results/advise")
    """Folder for rows.csv, config.json, table.md and regret.png."""
    work: Path = Path("runs/advise-study")
    """Folder for the teachers."""


def teachers_of(task: Task, dataset: ImageDataset, folder: Path) -> list[Teacher]:
    """Return a ResNet-8 with three checkpoints, and the end of an MLP."""
    settings = teaching_settings(
        task.data, epochs=task.teacher_epochs, checkpoints=3, batch_size=64, augment=False
    )
    found = [
        teacher_of(name, dataset, settings=settings, folder=folder, events=Events())
        for name in ("resnet8", "mlp512x1")
    ]
    return [found[0], found[1]._replace(steps=found[1].steps[-1:], logits=found[1].logits[-1:])]


def scores(
    dataset: ImageDataset, student: str, seed: int, size: int, warm_up: int,
    candidates: list[Candidate], teachers: list[Teacher],
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return what the kernel of a student says of every candidate."""
    config = AdviceConfig(
        student=student, temperatures=(1.0,), weights=(1.0,), size=size, warm_up=warm_up,
        batch_size=64, seed=seed,
    )  # fmt: skip
    model = models.create(student, dataset.num_outputs)
    fresh = models.init(model, jax.random.key(seed), dataset.image_shape)
    variables = warmed_up(model, dataset, config, variables=fresh)
    labels = dataset.train.labels[:size]
    images = np.asarray(normalize(dataset.train.images[:size], dataset.mean, dataset.std))
    kernel = student_kernel(model.apply, variables, images, Events())
    targets = targets_of(candidates, teachers, labels, dataset.num_outputs)
    found = rank_supervisions([factorize(kernel, ridge=ridge) for ridge in RIDGES], targets, labels)
    rms = np.sqrt((targets**2).mean(axis=(1, 2)))
    return {
        "prequential": found.error, "leave-one-out": found.leave_one_out,
        "complexity": found.complexity, "complexity over rms": found.complexity / rms,
    }  # fmt: skip


def trained(
    trainer: Trainer, dataset: ImageDataset, candidate: Candidate, teachers: list[Teacher],
    seed: int, data: Any,
) -> dict[str, float]:  # fmt: skip
    """Return the accuracies of a student after a tenth of its training, and after all."""
    logits = {(t.name, s): one for t in teachers for s, one in zip(t.steps, t.logits, strict=True)}
    shown = logits.get((candidate.teacher, candidate.step), teachers[0].logits[-1])
    provider = tabulated(
        tabulate([shown["train"]], [0]), temperature=candidate.temperature or 1.0,
        alpha=candidate.weight,
    )  # fmt: skip
    tenth = trainer.epoch_steps * max(1, trainer.epochs // 10)
    key = jax.random.key(seed)
    rows: dict[str, float] = {}
    for step, variables in trainer.train(
        provider, data, init_key=key, train_key=jax.random.fold_in(key, 2),
        points=[tenth, trainer.total_steps],
    ):  # fmt: skip
        when = "tenth" if step == tenth else "end"
        for name in ("validation", "test"):
            split = getattr(dataset, name)
            found = predict_logits(
                trainer.module.apply, variables, split.images, mean=dataset.mean, std=dataset.std
            )
            rows[f"{name} accuracy, {when}"] = accuracy(found, split.labels)
    return rows


def cell(
    dataset: ImageDataset, task: Task, student: str, seed: int, teachers: list[Teacher],
    options: Options,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield a row for each candidate: what rules see of it, and the truth."""
    candidates = candidates_of(teachers, (1.0, 4.0), (0.5, 1.0))
    n = len(dataset.train)
    seen = {
        f"{name}, {when}": values
        for when, size, warm_up in (("initial", n, 0), ("short", n // 2, options.warm_up))
        for name, values in scores(
            dataset, student, seed, size, warm_up, candidates, teachers
        ).items()
    }
    trainer = Trainer(
        module=models.create(student, dataset.num_outputs), image_shape=dataset.image_shape,
        examples=n, epochs=task.epochs, batch_size=64, optimizer=OptimizerConfig(),
    )  # fmt: skip
    data = trainer.place(dataset.train, mean=dataset.mean, std=dataset.std)
    right = {
        (teacher.name, step): accuracy(one["validation"], dataset.validation.labels)
        for teacher in teachers
        for step, one in zip(teacher.steps, teacher.logits, strict=True)
    }
    for index, one in enumerate(candidates):
        yield {
            "student": student, "seed": seed, "candidate": one.label,
            "teacher": one.teacher, "final": one.final, "temperature": one.temperature,
            "weight": one.weight, "teacher accuracy": right.get((one.teacher or "", one.step or 0)),
            **{name: float(values[index]) for name, values in seen.items()},
            **trained(trainer, dataset, one, teachers, seed, data),
        }  # fmt: skip


def main(options: Options) -> None:
    """Train what is missing; write rows, table and figure.

    Raises:
      InputError: the folder has the rows of another short training.
    """
    path, beside = options.out / "rows.csv", options.out / "config.json"
    config = json.loads(json_text({
        "tasks": {name: asdict(task) for name, task in TASKS.items()}, "warm_up": options.warm_up,
    }))  # fmt: skip
    rows: list[dict[str, Any]] = []
    if path.exists():
        if json.loads(beside.read_text())["config"] != config:
            raise InputError(f"{path} is of other settings; give another --out, or remove it")
        rows = pl.read_csv(path).to_dicts()
    else:
        write_json(beside, {"config": config, "provenance": provenance()})
    done = {(row["task"], row["student"], row["seed"]) for row in rows}
    # Seeds last: what is cut off has all tasks first.
    for seed in range(options.seeds):
        for name, task in TASKS.items():
            missing = [one for one in options.students if (name, one, seed) not in done]
            if not missing:
                continue
            dataset = task.data.load()
            teachers = teachers_of(task, dataset, options.work / name.replace(" ", "-"))
            for student in missing:
                found = cell(dataset, task, student, seed, teachers, options)
                rows += [{"task": name, **row} for row in found]
                write_whole(path, pl.DataFrame(rows, infer_schema_length=None).write_csv())
                print(name, student, seed, flush=True)
    publish(options.out)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
