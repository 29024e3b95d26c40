"""The teacher of a seed's students: trained or shared, changed, perhaps assisted; and its rows.

An assistant is a network distilled from the teacher that teaches the students in its place
(Mirzadeh et al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020).
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.datasets import ImageDataset, Split, teacher_split
from kdtheory.errors import InputError
from kdtheory.rows import SeedFields, TeacherRow
from kdtheory.runs.config import RunConfig
from kdtheory.runs.events import Events
from kdtheory.runs.given_variables import GivenVariables
from kdtheory.runs.network import (
    Network,
    SplitLogits,
    TrainedNetwork,
    accuracies,
    stored_logits,
)
from kdtheory.runs.shared_teachers import shared_unit, training_settings
from kdtheory.runs.store import RunStore
from kdtheory.runs.teacher_checkpoints import (
    given_points,
    kept_points,
    perturbed,
    teacher_points,
    thinned,
)
from kdtheory.runs.trainers import augmentation_of, trainer_of
from kdtheory.runs.unit import Unit
from kdtheory.targets import Labels, TargetProvider, cross_entropy, offline
from kdtheory.training import Trainer, TrainingData
from kdtheory.training.state import HostData
from kdtheory.typing import Variables

# What a seed's key is folded with: its teacher, the noise on it, its assistant.
_TEACHER, _PERTURBATION, _ASSISTANT = 0, 10, 11


def teacher_examples(config: RunConfig, dataset: ImageDataset) -> Split:
    """Return the split that the teacher is trained on.

    Raises:
      InputError: teacher_data and teacher_noise do not fit each other or the data.
    """
    teaching, batch_size = config.teaching, config.training.batch_size
    split = teacher_split(
        dataset,
        teaching.teacher_data,
        fraction=teaching.teacher_noise,
        seed=config.data.data_seed,
    )
    if teaching.teacher_data == "validation" and batch_size > len(split):
        raise InputError(
            f"batch_size must be at most the {len(split)} validation examples that "
            f"teacher_data 'validation' trains on, got {batch_size}"
        )
    return split


def teacher_trainers(config: RunConfig, dataset: ImageDataset) -> dict[str, Trainer]:
    """Return the trainers of the teacher and, where there is one, of its assistant.

    Raises:
      InputError: a setting of the teacher that does not fit the data.
    """
    epochs = config.teaching.teacher_epochs or config.training.epochs
    optimizer = config.teaching.teacher_optimizer
    augmentation = augmentation_of(config, dataset, teacher=True)
    trainers = {
        "teacher": trainer_of(
            config, dataset, config.distillation.teacher,
            optimizer=optimizer, epochs=epochs, augmentation=augmentation,
            examples=len(teacher_examples(config, dataset)),
        )
    }  # fmt: skip
    if config.distillation.assistant is not None:
        trainers["assistant"] = trainer_of(
            config, dataset, config.distillation.assistant,
            optimizer=optimizer, epochs=epochs, augmentation=augmentation,
        )  # fmt: skip
    _, steps = seen_points(config, trainers)
    thinned(steps, config.teaching.online_checkpoints)
    return trainers


def seen_points(config: RunConfig, trainers: Mapping[str, Trainer]) -> tuple[str, list[int]]:
    """Return the name of the network that teaches the students, and its checkpoints' steps."""
    name = "teacher" if config.distillation.assistant is None else "assistant"
    points = teacher_points(trainers[name], config.teaching.teacher_checkpoints)
    given = config.teaching.teacher_variables
    if name == "teacher" and given:
        # A student of this run makes as many steps: --teacher-epochs is refused.
        total = trainers[name].total_steps
        points = list(given_points(len(given), total, "--teacher-variables"))
    elif name == "teacher":
        points = kept_points(points, trainers[name].total_steps, config.teaching.teacher_stop)
    return name, points


@dataclass(frozen=True, kw_only=True)
class TeacherOfSeed:
    """Trains what teaches one seed's students, or reads what an earlier call or run stored."""

    seed: int
    config: RunConfig
    dataset: ImageDataset
    """The splits of the students."""
    data: TrainingData | HostData
    """Their training split, where the trainers want it."""
    trainers: Mapping[str, Trainer]
    """ "teacher", and "assistant" where there is one."""
    store: RunStore
    events: Events
    given: GivenVariables | None = None
    """The parameters of a teacher that is not trained."""

    def trained(self, row: SeedFields) -> tuple[TrainedNetwork, list[TeacherRow]]:
        """Return the network that teaches the students, and its rows, one a checkpoint.

        Args:
          row: what every row says besides the measurement.

        Raises:
          RunError: the training diverged, or something stored is damaged.
        """
        trainer = self.trainers["teacher"]
        networks = self.config.distillation
        settings = training_settings(self.config, networks.teacher, trainer, self.dataset)
        if self.given is not None:
            settings["variables"] = self.given.sha256
            teacher = self._as_given(self.given)
        else:
            points = teacher_points(trainer, self.config.teaching.teacher_checkpoints)
            kept = kept_points(points, trainer.total_steps, self.config.teaching.teacher_stop)
            teacher = self._network(
                "teacher", settings, Labels(self.dataset.num_outputs), self._teacher_data(),
                fold=_TEACHER, kept=kept,
                # Nobody else will want what comes after the stop of a run's own teacher.
                points=points if self.config.teaching.teachers else kept,
            )  # fmt: skip
        if networks.assistant is None:
            return teacher, self._rows("teacher", teacher, row)
        trainer = self.trainers["assistant"]
        points = teacher_points(trainer, self.config.teaching.teacher_checkpoints)
        own = training_settings(self.config, networks.assistant, trainer, self.dataset)
        assistant = self._network(
            "assistant", assistant_settings(self.config, own, settings),
            self._assistant_supervision(teacher), self.data,
            fold=_ASSISTANT, kept=points, points=points,
        )  # fmt: skip
        of_teacher = accuracies(teacher.logits[-1], self.dataset)
        row = {
            **row,
            "teacher_train_accuracy": of_teacher["train_accuracy"],
            "teacher_validation_accuracy": of_teacher["validation_accuracy"],
            "teacher_test_accuracy": of_teacher["test_accuracy"],
        }
        return assistant, self._rows("assistant", assistant, row)

    def _as_given(self, given: GivenVariables) -> TrainedNetwork:
        """Return the teacher whose checkpoints the run was given."""
        trainer, unit = self.trainers["teacher"], self._unit("teacher")
        steps = given_points(len(given.variables), trainer.total_steps, "--teacher-variables")
        logits = [
            stored_logits(
                unit.folder / f"logits-{step:08d}.npz", trainer, variables, self.dataset,
                label=f"teacher, {file}", owner=unit.owner.at(step=step),
            )
            for step, variables, file in zip(steps, given.variables, given.files, strict=True)
        ]  # fmt: skip
        return TrainedNetwork.of(trainer, steps, given.variables, logits)

    def _network(
        self,
        name: str,
        settings: Mapping[str, Any],
        supervision: TargetProvider,
        data: TrainingData | HostData,
        *,
        fold: int,
        points: Sequence[int],
        kept: Sequence[int],
    ) -> TrainedNetwork:
        """Train a network, and keep the checkpoints that students see, with their logits."""
        trainer, events = self.trainers[name], self.events
        title = f"seed {self.seed}: {name} {getattr(self.config.distillation, name)}"
        events.network(
            title, trainer.total_steps, folder=f"{self.seed}-{name}",
            epoch_steps=trainer.epoch_steps,
        )  # fmt: skip
        init_key, train_key = jax.random.split(jax.random.fold_in(self._key, fold))
        variables: list[Variables] = []
        logits: list[SplitLogits] = []
        with self._lent(name, settings, title) as unit:
            network = Network(
                label=f"{name}, seed {self.seed}", trainer=trainer, supervision=supervision,
                data=data, init_key=init_key, train_key=train_key, points=points, unit=unit,
            )  # fmt: skip
            for step, checkpoint in network.train(events):
                if step not in kept:
                    continue
                path, owner = unit.folder / f"logits-{step:08d}.npz", unit.owner
                if name == "teacher" and self.config.teaching.teacher_perturbation:
                    checkpoint = self._perturbed(checkpoint, step)
                    own = self._unit(name)
                    path, owner = own.folder / f"perturbed-{step:08d}.npz", own.owner
                is_new = not path.exists()
                variables.append(checkpoint)
                label = f"{network.label}, step {step}"
                logits.append(
                    stored_logits(
                        path,
                        trainer,
                        checkpoint,
                        self.dataset,
                        label=label,
                        owner=owner.at(step=step),
                    )
                )
                if is_new:
                    events.measured(step, [accuracies(logits[-1], self.dataset)])
        events.network_done()
        return TrainedNetwork.of(trainer, kept, variables, logits)

    @property
    def _key(self) -> jax.Array:
        return jax.random.key(self.seed)

    def _unit(self, name: str) -> Unit:
        return self.store.unit(self.seed, name)

    def _lent(
        self, name: str, settings: Mapping[str, Any], title: str
    ) -> contextlib.AbstractContextManager[Unit]:
        """Return the context that gives a network's folder: the run's own, or the shared one."""
        if self.config.teaching.teachers is None:
            return contextlib.nullcontext(self._unit(name))
        waiting = f"{title}: waiting for another run that works on it"
        return shared_unit(
            Path(self.config.teaching.teachers), settings, seed=self.seed, name=name,
            on_wait=lambda: self.events.status(waiting),
        )  # fmt: skip

    def _teacher_data(self) -> TrainingData | HostData:
        """Return the teacher's split; it shares what it can with the students'."""
        if self.config.teaching.teacher_data == "train":
            return self.data
        split = teacher_examples(self.config, self.dataset)
        if isinstance(self.data, HostData) or self.config.teaching.teacher_data == "validation":
            trainer = self.trainers["teacher"]
            return trainer.place(split, mean=self.dataset.mean, std=self.dataset.std)
        return self.data._replace(labels=jnp.asarray(split.labels))

    def _perturbed(self, checkpoint: Variables, step: int) -> Variables:
        """Return a checkpoint with noise; each one's comes from the seed and its step."""
        key = jax.random.fold_in(jax.random.fold_in(self._key, _PERTURBATION), step)
        return perturbed(checkpoint, scale=self.config.teaching.teacher_perturbation, key=key)

    def _assistant_supervision(self, teacher: TrainedNetwork) -> TargetProvider:
        """Return what trains an assistant: its teacher's last checkpoint at the last temperature.

        The teacher is as `teacher_stop` and `teacher_perturbation` leave it; alpha mixes in labels
        as it does for students.
        """
        assert teacher.trainer is not None
        return offline(
            teacher.trainer.apply_fn,
            teacher.trajectory.final(),
            temperature=self.config.distillation.temperatures[-1],
            alpha=self.config.distillation.alpha,
        )

    def _rows(self, name: str, teacher: TrainedNetwork, row: SeedFields) -> list[TeacherRow]:
        assert teacher.trainer is not None
        return teacher_rows(
            teacher, row, self.dataset, self._unit(name), epoch_steps=teacher.trainer.epoch_steps
        )


def teacher_rows(
    teacher: TrainedNetwork, row: SeedFields, dataset: ImageDataset, unit: Unit, *, epoch_steps: int
) -> list[TeacherRow]:
    """Return a teacher's rows, one a checkpoint, and store them in the run's own folder.

    Loss and accuracies are those on the students' splits, with the labels that students have,
    whatever the teacher was trained on.
    """
    rows: list[TeacherRow] = []
    for step, logits in zip(teacher.steps, teacher.logits, strict=True):
        loss = np.mean(cross_entropy(logits["train"], dataset.train.labels))
        epoch, rest = divmod(step, epoch_steps)
        rows.append({
            **row, "kind": "teacher", "step": step,
            "epoch": step / epoch_steps if rest else epoch,
            "final": step == teacher.steps[-1], "train_loss": float(loss),
            **accuracies(logits, dataset),
        })  # fmt: skip
        if unit.rows(step) is None:
            unit.write_rows(step, rows[-1:])
    return rows


def assistant_settings(
    config: RunConfig, own: Mapping[str, Any], teachers: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything that an assistant's checkpoints and their logits depend on, but the seed.

    Args:
      config: the run.
      own: `training_settings` of the assistant's own training.
      teachers: those of its teacher.
    """
    return {
        **own,
        # Of an assistant these are its students'; what its teacher saw is below.
        "teacher_data": "train",
        "teacher_noise": None,
        "data_seed": None,
        "distilled_from": {
            **teachers,
            "teacher_stop": config.teaching.teacher_stop,
            "teacher_perturbation": config.teaching.teacher_perturbation,
        },
        "temperature": config.distillation.temperatures[-1],
        "alpha": config.distillation.alpha,
    }
