"""The teacher of one seed's students: trained or shared, then changed, then perhaps assisted."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kdtheory.datasets import ImageDataset, Split, teacher_split
from kdtheory.errors import InputError
from kdtheory.rows import SeedFields, TeacherRow
from kdtheory.runs.assistant import assistant_settings, assistant_supervision
from kdtheory.runs.config import RunConfig
from kdtheory.runs.network import augmentation_of, trainer_of
from kdtheory.runs.progress import RunProgress
from kdtheory.runs.shared_teachers import shared_unit, training_settings
from kdtheory.runs.store import RunStore, Unit
from kdtheory.runs.teacher import (
    Perturbation,
    TrainedTeacher,
    accuracies,
    teacher_points,
    teacher_rows,
    train_teacher,
)
from kdtheory.runs.teacher_changes import kept_points, thinned
from kdtheory.targets import Labels
from kdtheory.training import HostData, Trainer, TrainingData

# What a seed's key is folded with: its teacher, the noise on it, its assistant.
_TEACHER, _PERTURBATION, _ASSISTANT = 0, 10, 11


class SeedTeacher(NamedTuple):
    """What students of one seed are taught by."""

    trainer: Trainer
    teacher: TrainedTeacher
    rows: list[TeacherRow]


def teacher_examples(config: RunConfig, dataset: ImageDataset) -> Split:
    """Return the split that the teacher is trained on.

    Raises:
      InputError: teacher_data and teacher_noise do not fit each other or the data.
    """
    split = teacher_split(
        dataset,
        config.teaching.teacher_data,
        fraction=config.teaching.teacher_noise,
        seed=config.data.data_seed,
    )
    if config.teaching.teacher_data == "validation" and config.training.batch_size > len(split):
        raise InputError(
            f"batch_size must be at most the {len(split)} validation examples that "
            f"teacher_data 'validation' trains on, got {config.training.batch_size}"
        )
    return split


def teacher_trainers(config: RunConfig, dataset: ImageDataset) -> dict[str, Trainer]:
    """Return the trainers of the teacher and, where there is one, of its assistant.

    Raises:
      InputError: a setting of the teacher that does not fit the data.
    """
    epochs = config.teaching.teacher_epochs or config.training.epochs
    augmentation = augmentation_of(config, dataset, teacher=True)
    trainers = {
        "teacher": trainer_of(
            config,
            dataset,
            config.distillation.teacher,
            optimizer=config.teaching.teacher_optimizer,
            epochs=epochs,
            augmentation=augmentation,
            examples=len(teacher_examples(config, dataset)),
        )
    }
    if config.distillation.assistant is not None:
        trainers["assistant"] = trainer_of(
            config,
            dataset,
            config.distillation.assistant,
            optimizer=config.teaching.teacher_optimizer,
            epochs=epochs,
            augmentation=augmentation,
        )
    _, steps = seen_points(config, trainers)
    thinned(steps, config.teaching.online_checkpoints)
    return trainers


def seen_points(config: RunConfig, trainers: Mapping[str, Trainer]) -> tuple[str, list[int]]:
    """Return the name of the network that teaches the students, and its checkpoints' steps."""
    name = "teacher" if config.distillation.assistant is None else "assistant"
    points = teacher_points(trainers[name], config.teaching.teacher_checkpoints)
    if name == "teacher":
        points = kept_points(points, trainers[name].total_steps, config.teaching.teacher_stop)
    return name, points


def teacher_of_seed(
    seed: int,
    config: RunConfig,
    dataset: ImageDataset,
    data: TrainingData | HostData,
    trainers: Mapping[str, Trainer],
    store: RunStore,
    progress: RunProgress,
    *,
    key: jax.Array,
    context: SeedFields,
) -> SeedTeacher:
    """Train a seed's teacher, or read what an earlier call or another run stored.

    Args:
      seed: which.
      config: the run.
      dataset: the splits of the students.
      data: their training split, where the trainers want it.
      trainers: "teacher", and "assistant" where there is one.
      store: the run's folder.
      progress: told of every network.
      key: the seed's PRNG key.
      context: what every row says besides the measurement.
    """
    trainer, own = trainers["teacher"], store.unit(seed, "teacher")
    label = f"seed {seed}: teacher {config.distillation.teacher}"
    settings = training_settings(config, config.distillation.teacher, trainer, dataset)
    points = teacher_points(trainer, config.teaching.teacher_checkpoints)
    kept = kept_points(points, trainer.total_steps, config.teaching.teacher_stop)
    progress.network(label, trainer.total_steps, folder=f"{seed}-teacher")
    with _unit(config, settings, own, label, seed, "teacher", progress) as unit:
        teacher = train_teacher(
            trainer,
            unit,
            Labels(dataset.num_outputs),
            dataset,
            _teacher_data(config, dataset, data, trainer),
            key=jax.random.fold_in(key, _TEACHER),
            # Nobody else will want what comes after the stop of a run's own teacher.
            points=points if config.teaching.teachers else kept,
            kept=kept,
            online_checkpoints=config.teaching.online_checkpoints
            if config.distillation.assistant is None
            else None,
            label=f"teacher, seed {seed}",
            perturbation=_perturbation(config, key, own),
            on_step=progress.step,
            on_rows=progress.measured,
        )
    progress.network_done()
    if config.distillation.assistant is None:
        rows = teacher_rows(teacher, trainer, own, dataset, context)
        return SeedTeacher(trainer, teacher, rows)

    assistant_trainer, own = trainers["assistant"], store.unit(seed, "assistant")
    label = f"seed {seed}: assistant {config.distillation.assistant}"
    plain = training_settings(config, config.distillation.assistant, assistant_trainer, dataset)
    points = teacher_points(assistant_trainer, config.teaching.teacher_checkpoints)
    progress.network(label, assistant_trainer.total_steps, folder=f"{seed}-assistant")
    shared = assistant_settings(config, plain, settings)
    with _unit(config, shared, own, label, seed, "assistant", progress) as unit:
        assistant = train_teacher(
            assistant_trainer,
            unit,
            assistant_supervision(config, trainer, teacher),
            dataset,
            data,
            key=jax.random.fold_in(key, _ASSISTANT),
            points=points,
            kept=points,
            online_checkpoints=config.teaching.online_checkpoints,
            label=f"assistant, seed {seed}",
            on_step=progress.step,
            on_rows=progress.measured,
        )
    progress.network_done()
    of_teacher = accuracies(teacher.logits[-1], dataset)
    context = {
        **context,
        "teacher_train_accuracy": of_teacher["train_accuracy"],
        "teacher_validation_accuracy": of_teacher["validation_accuracy"],
        "teacher_test_accuracy": of_teacher["test_accuracy"],
    }
    rows = teacher_rows(assistant, assistant_trainer, own, dataset, context)
    return SeedTeacher(assistant_trainer, assistant, rows)


def _unit(
    config: RunConfig, settings: Mapping[str, Any], own: Unit, label: str, seed: int, name: str,
    progress: RunProgress,
) -> contextlib.AbstractContextManager[Unit]:  # fmt: skip
    """Return the context that gives a network's folder: the run's own, or the shared one."""
    if config.teaching.teachers is None:
        return contextlib.nullcontext(own)
    return shared_unit(
        Path(config.teaching.teachers), settings, seed=seed, name=name,
        on_wait=lambda: progress.status(f"{label}: waiting for another run that works on it"),
    )  # fmt: skip


def _teacher_data(
    config: RunConfig, dataset: ImageDataset, data: TrainingData | HostData, trainer: Trainer
) -> TrainingData | HostData:
    """Return the teacher's training split; it shares what it can with the students'."""
    if config.teaching.teacher_data == "train":
        return data
    split = teacher_examples(config, dataset)
    if isinstance(data, HostData) or config.teaching.teacher_data == "validation":
        return trainer.place(split, mean=dataset.mean, std=dataset.std)
    return data._replace(labels=jnp.asarray(split.labels))


def _perturbation(config: RunConfig, key: jax.Array, unit: Unit) -> Perturbation | None:
    if not config.teaching.teacher_perturbation:
        return None
    noise_key = jax.random.fold_in(key, _PERTURBATION)
    return Perturbation(config.teaching.teacher_perturbation, noise_key, unit)
