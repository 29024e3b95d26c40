"""Measure distillation under augmentation: the teacher in every step, or its logits computed once.

    python -m benchmarks.cached_teacher --out cached-teacher.json     (CPU, about 3 minutes)

One process; every candidate makes one whole epoch of the same student through the same views, and
all take turns for `--rounds` rounds. A ratio is the median over rounds of the two times of one
round, so that other work on the machine meets both; CPU time is that of all threads.

- labels: training on labels, what distillation should cost.
- in the step: the teacher's forward pass in every training step.
- read: `cached_teacher`, its table on the disk: a further arm. In the time are reading, the digests
  of the table and of the teacher's parameters, and the way to the device.
- computed: the same without the table, which is computed and stored: the first arm.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import rich.console
import rich.table

from benchmarks.training import machine
from kdtheory import models
from kdtheory.datasets import Split, default_augmentation
from kdtheory.files import write_whole
from kdtheory.targets import Labels, TargetProvider, offline
from kdtheory.training import TeacherCache, Trainer, cached_teacher, run


def trainer_of(model: str, arguments: argparse.Namespace) -> Trainer:
    """Return how a network of the setting is trained."""
    shape = (arguments.image_size, arguments.image_size, 3)
    return Trainer(
        module=models.create(model, arguments.classes), image_shape=shape,
        examples=arguments.examples, epochs=1, batch_size=arguments.batch_size,
        augmentation=default_augmentation("cifar100", shape),
    )  # fmt: skip


def epochs_of(arguments: argparse.Namespace, folder: Path) -> dict[str, Callable[[], None]]:
    """Return the candidates: each makes one epoch, and waits for its end."""
    student, taught = (
        trainer_of(name, arguments) for name in (arguments.student, arguments.teacher)
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (arguments.examples, *student.image_shape), np.uint8)
    labels = rng.integers(0, arguments.classes, arguments.examples).astype(np.int32)
    half = np.full(3, 0.5, np.float32)
    data: Any = student.place(Split(images, labels, labels), mean=half, std=half / 2)
    key = jax.random.key(1)
    state = student.initial_state(jax.random.key(0))
    variables = taught.initial_state(jax.random.key(2)).variables
    teacher = offline(taught.apply_fn, variables, temperature=4.0)
    views = student.views(data, train_key=key)

    def epoch(supervision: TargetProvider) -> None:
        (reached,) = run(student.chunk, state, supervision, data, key, stops=[student.epoch_steps])
        jax.block_until_ready(reached.params)

    def cached(name: str) -> TargetProvider:
        cache = TeacherCache(folder=folder / name, budget=2**40)
        return cached_teacher(teacher, views, cache, names={"model": arguments.teacher})

    def computed() -> None:
        shutil.rmtree(folder / "computed", ignore_errors=True)
        epoch(cached("computed"))

    return {
        "labels": lambda: epoch(Labels(arguments.classes)),
        "in the step": lambda: epoch(teacher),
        "read": lambda: epoch(cached("read")),
        "computed": computed,
    }


def measured(
    calls: dict[str, Callable[[], None]], rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Return each candidate's wall and CPU seconds in every round, warmed up before."""
    for call in calls.values():
        call()
    found: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            cpu, wall = time.process_time(), time.perf_counter()
            call()
            found[name]["wall"].append(time.perf_counter() - wall)
            found[name]["cpu"].append(time.process_time() - cpu)
    return found


def ratios(found: dict[str, dict[str, list[float]]], clock: str) -> dict[str, float]:
    """Return what each way costs, in epochs on labels: medians over the rounds.

    Amortised: five arms, of which the first one or two (offline and online have other checkpoints
    in the epoch) compute a table, and the others read it.
    """
    times = {name: np.asarray(each[clock]) for name, each in found.items()}
    one, read, first = times["labels"], times["read"], times["computed"]
    of = {
        "in the step": times["in the step"] / one,
        "cached, a further arm": read / one,
        "cached, the first arm": first / one,
        "five arms of one checkpoint, each": (first + 4 * read) / (5 * one),
        "five arms, offline and online, each": (2 * first + 3 * read) / (5 * one),
    }
    return {name: statistics.median(each.tolist()) for name, each in of.items()}


def main() -> None:
    """Measure, print the table and keep every number."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", default="resnet20")
    parser.add_argument("--student", default="lenet5x2")
    parser.add_argument("--examples", type=int, default=9_000)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON file with every number")
    arguments = parser.parse_args()
    began = machine()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(epochs_of(arguments, Path(folder)), arguments.rounds)
    of = {clock: ratios(found, clock) for clock in ("wall", "cpu")}
    table = rich.table.Table("epoch", "/ labels, wall", "/ labels, CPU time")
    for name in of["wall"]:
        table.add_row(name, f"{of['wall'][name]:.3f}", f"{of['cpu'][name]:.3f}")
    console = rich.console.Console(width=100)
    console.print(table)
    settings = {key: value for key, value in vars(arguments).items() if key != "out"}
    content = {"machine": began, "settings": settings, "seconds": found, "ratios": of}
    if arguments.out is not None:
        write_whole(arguments.out, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
