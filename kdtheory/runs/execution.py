"""Run a configuration: for each seed a teacher, then a student on every arm; then the report."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdtheory.analysis.health import marked_failures
from kdtheory.arms import LABELS, Supervision
from kdtheory.datasets import ImageDataset
from kdtheory.errors import Terminated
from kdtheory.report import write_run
from kdtheory.rows import Row, SeedFields, TeacherRow, arm_of
from kdtheory.runs.bounds_at_init import bound_rows
from kdtheory.runs.certificates import certificates_at_init
from kdtheory.runs.config import RunConfig, to_json
from kdtheory.runs.events import Events
from kdtheory.runs.given_variables import given_teacher, student_start
from kdtheory.runs.loading import load_dataset, load_known_teacher
from kdtheory.runs.network import TrainedNetwork
from kdtheory.runs.progress import RunProgress
from kdtheory.runs.seed import Seed
from kdtheory.runs.stage import train_stage
from kdtheory.runs.store import RunStore, open_store, read_provenance
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
from kdtheory.training import Trainer, TrainingData, handle_sigterm
from kdtheory.training.compilation_cache import enable_compilation_cache
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


def _told_failures(rows: Sequence[Row], dataset: ImageDataset, events: Events) -> list[Row]:
    """Return rows, with the networks marked that their training did not train; tell of each."""
    marked = marked_failures(
        rows,
        num_classes=max(2, dataset.num_outputs),
        train_examples=len(dataset.train),
        test_examples=len(dataset.test),
    )
    for row in marked:
        if row["kind"] in ("teacher", "student") and "failure" in row:
            name = "teacher" if row["kind"] == "teacher" else f"student on {arm_of(row).slug}"
            events.told(f"NOT TRAINED: {name}, seed {row['seed']}: {row['failure']}")
    return marked


def plan(config: RunConfig, networks: int) -> str:
    """Return what a run will do, where it leaves it, and how to stop it: one paragraph.

    >>> plan(RunConfig.of(arms=("labels",), seeds=1), 2)  # doctest: +ELLIPSIS
    'digits, full: resnet20 to lenet5x1; labels; 1 seed, 2 networks, ...'
    """
    arms = ", ".join(arm.slug for arm in config.arm_list())
    count = config.distillation.seeds
    kernels = (
        "no kernel"
        if config.measuring.kernel == "none"
        else f"a kernel of {config.measuring.ntk_size} examples at {config.measuring.points} points"
    )
    return (
        f"{config.title}; {arms}; {count} seed{'s' * (count > 1)}, {networks} networks, "
        f"{config.training.epochs} epochs, {kernels}. Results: {config.output.out}. How long it "
        "takes is said as soon as the first steps are timed. Ctrl-C stops it; the same command "
        "goes on where it was."
    )


def partial_note(done: int, seeds: int) -> str:
    """Return the sentence that marks an unfinished run's table.

    >>> partial_note(3, 4)
    'PARTIAL: 3 of 4 seeds are done; the run was interrupted.'
    """
    return f"PARTIAL: {done} of {seeds} seeds are done; the run was interrupted."


def session_notes(out: Path) -> list[str]:
    """Return a note where a run was continued by other software or on another machine."""
    sessions = read_provenance(out)["sessions"]
    differing = [
        name
        for name in ("versions", "git", "imports", "machine", "devices")
        # Sessions of earlier versions had no imports, and did not say so.
        if any((session.get(name) or []) != (sessions[0].get(name) or []) for session in sessions)
    ]
    if not differing:
        return []
    return [
        f"This run was continued with other {', '.join(differing)} than it began with; "
        "provenance.json has them all."
    ]


def execute(
    config: RunConfig,
    *,
    fresh: bool = False,
    title: str | None = None,
    notes: Sequence[str] = (),
    quiet: bool = False,
) -> list[Row]:
    """Run a configuration to its end, or continue it, and write its tables, figures and report.

    Args:
      config: what to run; `config.output.out` is the folder.
      fresh: start over: delete what is in the folder.
      title: heading of the report.
      notes: paragraphs for the report, such as how the setting was chosen.
      quiet: show no progress.

    Returns:
      All rows.

    Raises:
      InputError: data or configuration that cannot be used; nothing stored is changed.
      RunError: a non-finite loss, a damaged store, a full disk; what was stored stays.
      Terminated: SIGTERM; the state of the training is saved.
    """
    if config.output.compilation_cache:
        enable_compilation_cache()
    out = Path(config.output.out)
    events = RunProgress(
        quiet=quiet,
        batch_size=config.training.batch_size,
        events=out / "tensorboard" if config.output.tensorboard else None,
    )
    with handle_sigterm(), events:
        dataset = load_dataset(config, events)
        runner = Runner(config, dataset, events)
        data = runner.data_provenance()
        with open_store(config, data=data, fresh=fresh) as store:
            # The stored run may have more arms and seeds than were asked for.
            runner.config = config = store.config
            seeds = range(config.distillation.seeds)
            total = sum(networks_of_seed(config, seed) for seed in seeds)
            events.networks(total)
            if not quiet:
                events.told(plan(config, total))
                for given in (runner.given_teacher, runner.student_start):
                    if given is not None:
                        events.told(given.report)
            rows: list[Row] = []
            done = 0

            def write(notes: Sequence[str]) -> None:
                write_run(
                    rows,
                    out,
                    config={**to_json(config), "data": data},
                    provenance=read_provenance(store.out),
                    title=title or config.title,
                    notes=[*notes, *session_notes(store.out)],
                )

            try:
                # One after another unless they train together: a seed's teacher stays in memory.
                alone = config.training.together == "none"
                for group in [[seed] for seed in seeds] if alone else [seeds]:
                    found = runner.run_seeds(group, store)
                    measured = [row for seed in group for row in found[seed]]
                    rows += _told_failures(measured, dataset, events)
                    done += len(group)
                    store.write_rows(rows)
            except (KeyboardInterrupt, Terminated):
                if not alone:  # all seeds advance arm by arm: the arms that are done
                    found_so_far = [r for seed in seeds for r in runner.finished(seed, store)]
                    rows = _told_failures(found_so_far, dataset, events)
                    store.write_rows(rows)
                if any(row["kind"] == "student" for row in rows):
                    events.status("interrupted: writing the table of what is done")
                    write([*notes, partial_note(done, len(seeds))])
                    events.told(f"{partial_note(done, len(seeds))} Its table: {out}/table.md")
                raise
            cache = runner.teacher_cache
            if cache is not None and (cache.computed or cache.read):
                events.told(cache.summary())
            events.status("writing the report")
            write(notes)
    return rows
