"""A run at work: for each seed a teacher, then a student on every arm."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from kdtheory.arms import LABELS, Supervision
from kdtheory.datasets import ImageDataset
from kdtheory.rows import Row, SeedFields, TeacherRow
from kdtheory.runs.bounds_at_init import bound_rows
from kdtheory.runs.certificates import certificates_at_init
from kdtheory.runs.config import RunConfig
from kdtheory.runs.events import Events
from kdtheory.runs.given_variables import given_teacher, student_start
from kdtheory.runs.loading import load_known_teacher
from kdtheory.runs.network import TrainedNetwork
from kdtheory.runs.seed import Seed
from kdtheory.runs.stage import train_stage
from kdtheory.runs.store import RunStore
from kdtheory.runs.student import (
    needs_labels_student,
    student_network,
    student_points,
    train_student,
)
from kdtheory.runs.supervision import seed_of, teacher_cache_of, trains_alone
from kdtheory.runs.teacher import TeacherOfSeed, seen_points, teacher_rows, teacher_trainers
from kdtheory.runs.together import arms_together, train_together
from kdtheory.runs.tuning import TUNING_SEED, Tuning
from kdtheory.runs.unit import Unit
from kdtheory.training import Trainer, TrainingData
from kdtheory.training.state import HostData


def trained_arms(config: RunConfig) -> tuple[Supervision, ...]:
    """Return the arms whose students are trained.

    Self-distillation's earlier round and the matched arm's pilot are the student trained on labels,
    whether that is an arm of the run or not.

    >>> [arm.slug for arm in trained_arms(RunConfig.of(arms=("self",)))]
    ['labels', 'self-tau1']
    """
    arms = config.arm_list()
    return arms if LABELS in arms or not needs_labels_student(config) else (LABELS, *arms)


def networks_of_seed(config: RunConfig, seed: int) -> int:
    """Return how many networks a seed trains.

    >>> networks_of_seed(RunConfig.of(arms=("self",)), 0)
    3
    >>> [networks_of_seed(RunConfig.of(arms=("labels",), tune=(0.1, 0.2)), seed) for seed in (0, 1)]
    [3, 2]
    """
    teaching = 1 + (config.distillation.assistant is not None)
    if config.teaching.logits_of is not None:
        teaching = 0
    elif config.teaching.teacher_variables:
        teaching -= 1
    shared = config.distillation.one_teacher and seed > 0
    students = len(trained_arms(config))
    if seed == TUNING_SEED:
        students *= max(1, len(config.training.tune))
    return (0 if shared else teaching) + students


class Runner:
    """A run at work: its configuration, data, compiled trainings, store, and who is told of it."""

    def __init__(self, config: RunConfig, dataset: ImageDataset, events: Events) -> None:
        self.config, self.dataset, self.events = config, dataset, events
        #: With one teacher for all seeds: it, and its rows.
        self.taught_by: dict[int, tuple[TrainedNetwork, list[TeacherRow]]] = {}
        known = config.teaching.logits_of is not None
        self.known_teacher = load_known_teacher(config, dataset) if known else None
        self.given_teacher = given_teacher(config, dataset)
        self.student_start = student_start(config, dataset)
        self.teacher_cache = teacher_cache_of(config, events)
        start = self.student_start
        self.tuning = Tuning(config, dataset, None if start is None else start.variables[0])
        self.trainers: Mapping[str, Trainer] = {
            **({} if known else teacher_trainers(config, dataset)),
            "student": self.tuning.usual,
        }

    def teaching_seed(self, seed: int) -> int:
        """Return the seed of the teacher that a seed's students have."""
        return 0 if self.config.distillation.one_teacher else seed

    def data_provenance(self) -> dict[str, Any]:
        """Return where the data came from, and what else of files is data."""
        given = {
            "teacher_logits": self.known_teacher,
            "teacher_variables": self.given_teacher,
            "student_variables": self.student_start,
        }
        found = {name: one.provenance() for name, one in given.items() if one is not None}
        return {**self.dataset.provenance, **found}

    def teaching_points(self) -> tuple[str, Sequence[int]]:
        """Return the name of the network that teaches the students, and its checkpoints' steps."""
        if self.known_teacher is None:
            return seen_points(self.config, self.trainers)
        return "teacher", self.known_teacher.steps_for(self.trainers["student"].total_steps)

    def units(self, seed: int, store: RunStore) -> list[tuple[Unit, Sequence[int]]]:
        """Return the folders of a seed's networks, each with the steps that it has rows of."""
        units: list[tuple[Unit, Sequence[int]]] = []
        if self.teaching_seed(seed) == seed:
            teaching, steps = self.teaching_points()
            units.append((store.unit(seed, teaching), steps))
        if self.config.measuring.bounds:
            units.append((store.unit(seed, "bounds"), [0]))
        if seed == TUNING_SEED:
            units += self.tuning.units(trained_arms(self.config), store)
        if self.config.measuring.certify:
            units.append((store.unit(seed, "certificates"), [0]))
        steps, _ = student_points(self.trainers["student"], self.config)
        return units + [
            (self.tuning.unit(seed, arm, store), steps) for arm in self.config.arm_list()
        ]

    def finished(self, seed: int, store: RunStore) -> list[Row]:
        """Return the rows of a seed's networks that are done."""
        found = (unit.all_rows(steps) for unit, steps in self.units(seed, store))
        return [row for rows in found for row in rows or ()]

    def stored(self, seed: int, store: RunStore) -> list[Row] | None:
        """Return a seed's rows if every one of them is stored, otherwise None."""
        found: list[Row] = []
        for unit, steps in self.units(seed, store):
            rows = unit.all_rows(steps)
            if rows is None:
                return None
            found += rows
        return found

    def taught(
        self, number: int, data: TrainingData | HostData, store: RunStore
    ) -> tuple[Seed, list[Row]]:
        """Return what a seed's networks share, its teacher trained, and the rows of that."""
        config, networks = self.config, self.config.distillation
        row: SeedFields = {
            "dataset": config.data.dataset, "task": config.data.task,
            "teacher": config.teacher_name, "student": networks.student,
            "settings": store.settings, "seed": number,
        }  # fmt: skip
        if networks.assistant is not None:
            row["assistant"] = networks.assistant
        teaching = self.teaching_seed(number)
        taught_rows: list[TeacherRow]
        if networks.one_teacher and teaching in self.taught_by:
            teacher, taught_rows = self.taught_by[teaching]
        elif self.known_teacher is not None:
            _, steps = self.teaching_points()
            teacher = TrainedNetwork.of_logits(steps, self.known_teacher.logits)
            taught_rows = teacher_rows(
                teacher, {**row, "seed": teaching}, self.dataset, store.unit(teaching, "teacher"),
                epoch_steps=self.trainers["student"].epoch_steps,
            )  # fmt: skip
        else:
            teacher, taught_rows = TeacherOfSeed(
            seed=teaching, config=config, dataset=self.dataset, data=data,
            trainers=self.trainers, store=store, events=self.events,
            given=self.given_teacher,
        ).trained({**row, "seed": teaching})  # fmt: skip
        if networks.one_teacher:
            self.taught_by[teaching] = teacher, taught_rows
        # A teacher's rows are those of the seed whose teacher it is.
        rows: list[Row] = [*taught_rows] if teaching == number else []
        seed = Seed(
            number=number, config=config, dataset=self.dataset, data=data,
            student_trainer=self.trainers["student"], teacher=teacher, row=row,
            teacher_cache=self.teacher_cache,
        )  # fmt: skip
        if config.measuring.bounds:
            bounds = store.unit(number, "bounds")
            if bounds.rows(0) is None:
                bounds.write_rows(0, bound_rows(seed))
            rows += bounds.rows(0) or ()
        if config.measuring.certify:
            certified = store.unit(number, "certificates")
            if certified.rows(0) is None:
                certified.write_rows(0, certificates_at_init(seed, self.events))
            rows += certified.rows(0) or ()
        return seed, rows

    def run_seeds(self, numbers: Sequence[int], store: RunStore) -> dict[int, list[Row]]:
        """Train and measure some seeds' teachers and students, arm after arm; return their rows.

        What is stored completely is read.
        """
        rows: dict[int, list[Row]] = {}
        for number in numbers:
            stored = self.stored(number, store)
            if stored is not None:
                self.events.networks_done(networks_of_seed(self.config, number))
                rows[number] = stored
        missing = [number for number in numbers if number not in rows]
        if not missing:
            return rows
        dataset = self.dataset
        data = self.trainers["student"].place(dataset.train, mean=dataset.mean, std=dataset.std)
        seeds: list[Seed] = []
        for number in missing:
            seed, rows[number] = self.taught(number, data, store)
            seeds.append(seed)
        together, measured = self.config.training.together, self.config.arm_list()
        of_students: dict[int, list[Row]] = {number: [] for number in missing}
        for group in arms_together(trained_arms(self.config), together):
            for arm, seed in itertools.product(group, seeds):
                train_stage(arm, seed, store.unit(seed.number, f"{arm.slug}-stage"), self.events)
                self.tuning.tune(arm, seed_of(arm, seed), store, self.events)
                if seed.number == TUNING_SEED:
                    rows[seed.number] += self.tuning.rows(arm, store)
            for arms in self.tuning.alike(group, store):
                students = [(seed_of(arm, seed), arm) for seed in seeds for arm in arms]
                if together != "none":
                    networks = {
                        f"{seed.number}-{arm.slug}": student_network(
                            arm, seed, self.tuning.unit(seed.number, arm, store)
                        )
                        for seed, arm in students
                        if not trains_alone(arm)
                    }
                    title = f"students {self.config.distillation.student}"
                    train_together(networks, store.out / "together", self.events, title=title)
                for seed, arm in students:
                    found = self.student(seed, arm, store, measured=arm in measured)
                    of_students[seed.number] += found
        for number in missing:
            rows[number] += of_students[number]
        return rows

    def student(
        self, seed: Seed, arm: Supervision, store: RunStore, *, measured: bool
    ) -> list[Row]:
        """Train and measure one student; return its rows."""
        trainer = seed.student_trainer
        self.events.network(
            f"seed {seed.number}: student {self.config.distillation.student}, {arm.slug}",
            trainer.total_steps, folder=f"{seed.number}-{arm.slug}",
            epoch_steps=trainer.epoch_steps,
        )  # fmt: skip
        unit = self.tuning.unit(seed.number, arm, store)
        rows = train_student(arm, seed, unit, self.events, measured=measured)
        # The first seed's students of a run that is tuned are candidates, counted already.
        tuned = bool(self.config.training.tune) and seed.number == TUNING_SEED
        self.events.network_done(counted=not tuned)
        return rows
