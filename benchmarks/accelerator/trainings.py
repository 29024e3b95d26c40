"""The steps that train: images a second, and a distillation as long as the minutes allow."""

import signal
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks.accelerator.result import OutOfTime, Result, Row
from benchmarks.accelerator.settings import Settings
from kdtheory import models
from kdtheory.datasets import ImageDataset, default_augmentation
from kdtheory.errors import Terminated
from kdtheory.targets import Labels, TargetProvider, offline, online, stack
from kdtheory.targets.decisions import accuracy
from kdtheory.training import (
    OptimizerConfig,
    Trainer,
    default_steps_per_dispatch,
    handle_sigterm,
    init_state,
    make_optimizer,
    make_train_chunk,
    predict_logits,
    run,
    steps_per_epoch,
    training_data,
)

_DTYPES = ("float32", "bfloat16")

#: The part of the time that is left which epochs are planned for: the rest is compilation,
#: evaluation and what the estimate misses.
_PLANNED = 0.8

#: Called with (network, epoch, epochs).
OnEpoch = Callable[[str, int, int], None]


def training_speed(settings: Settings, result: Result, dataset: ImageDataset) -> None:
    """Take the time of training on labels, with augmentation; compilation is told apart."""
    for name in settings.timed_models:
        for dtype in _DTYPES:
            result.measure(
                "training", f"{name}, {dtype}",
                lambda name=name, dtype=dtype: _speed(settings, dataset, name, dtype),  # type: ignore[misc]
            )  # fmt: skip


def _speed(settings: Settings, dataset: ImageDataset, name: str, dtype: str) -> Row:
    epoch_steps = steps_per_epoch(len(dataset.train), settings.batch_size)
    length = default_steps_per_dispatch(epoch_steps)
    programs = 1 + settings.timed_dispatches
    optimizer = make_optimizer(OptimizerConfig(gradient_clip=None), length * programs)
    model = models.create(name, dataset.num_outputs)
    chunk = make_train_chunk(
        model, optimizer, batch_size=settings.batch_size, length=length, compute_dtype=dtype,
        augmentation=default_augmentation(dataset.name, dataset.image_shape),
    )  # fmt: skip
    init_key, key = jax.random.split(jax.random.key(0))
    state = init_state(models.init(model, init_key, dataset.image_shape), optimizer)
    data = training_data(dataset.train, mean=dataset.mean, std=dataset.std)
    marks = [time.perf_counter()]
    stops = [length * (program + 1) for program in range(programs)]
    for reached in run(chunk, state, Labels(dataset.num_outputs), data, key, stops=stops):
        jax.block_until_ready(reached.params)
        marks.append(time.perf_counter())
    first, *timed = np.diff(marks).tolist()
    seconds = statistics.median(timed)
    images = length * settings.batch_size
    return {
        "model": name, "dtype": dtype, "images_per_second": images / seconds,
        "epoch_seconds": len(dataset.train) * seconds / images,
        "first_program_seconds": first, "steps_a_program": length,
    }  # fmt: skip


def planned_epochs(teacher: float, student: float, seconds: float, most: int) -> int:
    """Return how many epochs of a teacher and three students fit into the seconds.

    A student that is taught costs its own epoch and the teacher's inference, a third of its epoch.

    Args:
      teacher: seconds of a teacher's epoch.
      student: seconds of a student's epoch on labels.
      seconds: that there are.
      most: no more than these.

    >>> planned_epochs(6.0, 2.0, 1000.0, 240), planned_epochs(6.0, 2.0, 1.0, 240)
    (50, 1)
    """
    each = teacher + 3 * student + 2 * teacher / 3
    return max(1, min(most, int(_PLANNED * seconds / each)))


def _plan(settings: Settings, result: Result, epochs: int | None) -> int:
    """Return the epochs, and keep the plan: a call that goes on must train the same schedule."""

    def work() -> Row:
        known = {row["model"]: row["epoch_seconds"] for row in result.rows("training")
                 if row["dtype"] == "bfloat16"}  # fmt: skip
        if epochs is not None:
            return {"epochs": epochs}
        if not {settings.teacher, settings.student} <= set(known):
            return {"epochs": settings.most_epochs}
        # Where little is left of this call, the next one goes on with a schedule worth having.
        seconds = max(result.clock.left(), 30 * result.clock.minutes)
        teacher, student = known[settings.teacher], known[settings.student]
        return {"epochs": planned_epochs(teacher, student, seconds, settings.most_epochs)}

    return int(result.measure("distillation", "plan", work)["epochs"])


def distillation(
    settings: Settings, result: Result, dataset: ImageDataset, epochs: int | None,
    on_epoch: OnEpoch,
) -> None:  # fmt: skip
    """Train the teacher and its students; when the minutes are over, save all and end.

    Raises:
      OutOfTime: the minutes are over; the state is saved.
    """
    count = _plan(settings, result, epochs)
    ended = False

    def train(network: str, name: str, targets: TargetProvider, count_kept: int) -> Any:
        """Train one network, or go on with it; return its trajectory and test accuracy."""
        trainer = Trainer(
            module=models.create(name, dataset.num_outputs), image_shape=dataset.image_shape,
            examples=len(dataset.train), epochs=count, batch_size=settings.batch_size,
            optimizer=OptimizerConfig(learning_rate=0.1, gradient_clip=None),
            compute_dtype="bfloat16",
            augmentation=default_augmentation(dataset.name, dataset.image_shape),
        )  # fmt: skip

        def on_step(step: int, loss: float) -> None:
            nonlocal ended
            del loss
            if step % trainer.epoch_steps == 0:
                on_epoch(network, step // trainer.epoch_steps, count)
            if result.clock.left() <= 0 and not ended:
                # As from outside: the training saves its state at the end of this program.
                ended = True
                signal.raise_signal(signal.SIGTERM)

        epochs_kept = sorted({round(i * count / count_kept) for i in range(1, count_kept + 1)})
        points = [epoch * trainer.epoch_steps for epoch in epochs_kept]
        init_key, train_key = jax.random.split(jax.random.key(0))
        kept = [
            variables
            for _, variables in trainer.train(
                targets, trainer.place(dataset.train, mean=dataset.mean, std=dataset.std),
                init_key=init_key, train_key=train_key, points=points, name=network,
                folder=result.folder / "distillation" / network, on_step=on_step,
            )
        ]  # fmt: skip
        logits = predict_logits(
            trainer.apply_fn, kept[-1], dataset.test.images, mean=dataset.mean, std=dataset.std
        )
        return trainer.apply_fn, stack(kept, points), accuracy(logits, dataset.test.labels)

    def work() -> Row:
        labels = Labels(dataset.num_outputs)
        try:
            with handle_sigterm():
                apply_fn, trajectory, reached = train(
                    "teacher", settings.teacher, labels, min(60, count)
                )
                accuracies = {"accuracy_teacher": reached}
                for arm, targets in (
                    ("labels", labels),
                    ("offline", offline(apply_fn, trajectory.final(), temperature=4.0, alpha=0.9)),
                    ("online", online(apply_fn, trajectory, temperature=4.0, alpha=0.9)),
                ):
                    accuracies[f"accuracy_{arm}"] = train(arm, settings.student, targets, 1)[2]
        except Terminated as order:
            if ended:
                raise OutOfTime from order
            raise
        return {
            "teacher": settings.teacher, "student": settings.student, "epochs": count, **accuracies,
        }  # fmt: skip

    result.measure("distillation", f"{settings.teacher} to {settings.student}", work)
