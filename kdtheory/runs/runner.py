"""Run a configuration: for each seed a teacher, then a student on every arm; then the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax

from kdtheory.datasets import ImageDataset
from kdtheory.errors import InputError
from kdtheory.memory import check_fits, factorising_bytes
from kdtheory.report import write_all
from kdtheory.rows import Row, SeedFields, Supervision
from kdtheory.runs.bound_terms import BOUNDS_NEED_A_FACTOR, bound_rows
from kdtheory.runs.config import MeasuringConfig, RunConfig, to_json
from kdtheory.runs.context import SeedContext
from kdtheory.runs.network import augmentation_of, trainer_of
from kdtheory.runs.progress import RunProgress
from kdtheory.runs.seed_teacher import seen_points, teacher_of_seed, teacher_trainers
from kdtheory.runs.store import RunStore, open_store, read_provenance
from kdtheory.runs.student import (
    earlier_round,
    student_points,
    train_student,
)
from kdtheory.runs.supervisors import EarlierRound
from kdtheory.runs.together import Student, arms_together, train_together
from kdtheory.training import (
    HostData,
    Trainer,
    TrainingData,
    enable_compilation_cache,
    handle_sigterm,
)

LABELS = Supervision("labels", None)


def load_dataset(config: RunConfig, progress: RunProgress | None = None) -> ImageDataset:
    """Load a run's data set, and check that the configuration fits it.

    Raises:
      InputError: the data is missing or damaged, or a size is above what there is.
    """
    dataset = config.data.load(None if progress is None else progress.reading)
    if not len(dataset.test):
        raise InputError(f"{config.data.dataset} has no test examples; a run needs them")
    measured, which = (
        (dataset.train, "training")
        if config.measuring.ntk_split == "train"
        else (dataset.test, "test")
    )
    for name, split, words in (
        ("ntk_size", measured, which),
        ("similarity_size", dataset.test, "test"),
    ):
        size = getattr(config.measuring, name)
        if size > len(split):
            raise InputError(
                f"{name} must be at most the {len(split)} {words} examples, got {size}"
            )
    if config.measuring.bounds and dataset.num_outputs != 1:
        raise InputError(
            "the terms of the teacher-student bound are for binary tasks (--task first_half, ...); "
            f"{config.data.task} has {dataset.num_outputs} outputs"
        )
    if config.measuring.kernel != "none":
        check_kernel(config.measuring, dataset.num_outputs)
    return dataset


def check_kernel(config: MeasuringConfig, num_outputs: int) -> None:
    """Raise InputError, before anything is trained, for a kernel that cannot be measured.

    One that does not fit in memory is bounded from its products, if it is that of all outputs and
    has a ridge, and if only complexity is asked for.

    >>> check_kernel(MeasuringConfig(ntk_size=512), 10)
    """
    spec = config.kernel_spec()
    rows = spec.rows(config.ntk_size, num_outputs)
    if spec.is_exact(rows):
        return
    if config.bounds:
        raise InputError(BOUNDS_NEED_A_FACTOR)
    if config.kernel == "trace" or 0 in (config.ridge, config.ridge_absolute):
        check_fits(
            f"the {config.kernel} kernel of {rows:,} rows",
            factorising_bytes(rows),
            "lower --ntk-size, or use --kernel full with a --ridge above 0, whose complexity is "
            "bounded where the kernel does not fit",
            budget=spec.memory_budget,
        )


def trained_arms(config: RunConfig) -> tuple[Supervision, ...]:
    """Return the arms whose students are trained.

    Self-distillation's earlier round and the matched arm's pilot are the student trained on labels,
    whether that is an arm of the run or not.

    >>> [arm.slug for arm in trained_arms(RunConfig.of(arms=("self",)))]
    ['labels', 'self-tau1']
    """
    arms = config.arm_list()
    return arms if LABELS in arms or not needs_labels_student(config) else (LABELS, *arms)


def needs_labels_student(config: RunConfig) -> bool:
    """Return whether an arm's supervision is made from the student trained on labels."""
    return bool({"self", "matched"} & set(config.distillation.arms))


def networks_of_seed(config: RunConfig) -> int:
    """Return how many networks a seed trains.

    >>> networks_of_seed(RunConfig.of(arms=("self",)))
    3
    """
    return 1 + (config.distillation.assistant is not None) + len(trained_arms(config))


def stored_seed(
    seed: int, config: RunConfig, trainers: Mapping[str, Trainer], store: RunStore
) -> list[Row] | None:
    """Return a seed's rows if every one of them is stored, otherwise None."""
    teaching, teacher_steps = seen_points(config, trainers)
    student_steps = student_points(trainers["student"], config.measuring.points)
    units = [(store.unit(seed, teaching), teacher_steps)]
    if config.measuring.bounds:
        units.append((store.unit(seed, "bounds"), [0]))
    units += [(store.unit(seed, arm.slug), student_steps) for arm in config.arm_list()]
    if not all(unit.has_rows(step) for unit, steps in units for step in steps):
        return None
    return [row for unit, steps in units for row in unit.read_rows(steps)]


def seed_context(
    seed: int,
    config: RunConfig,
    dataset: ImageDataset,
    data: TrainingData | HostData,
    trainers: Mapping[str, Trainer],
    store: RunStore,
    progress: RunProgress,
) -> tuple[SeedContext, list[Row]]:
    """Return what a seed's students share, its teacher trained, and the rows of that.

    All randomness of a seed comes from `jax.random.key(seed)`.
    """
    key = jax.random.key(seed)
    common: SeedFields = {
        "dataset": config.data.dataset, "task": config.data.task,
        "teacher": config.distillation.teacher, "student": config.distillation.student,
        "settings": store.settings, "seed": seed,
    }  # fmt: skip
    if config.distillation.assistant is not None:
        common["assistant"] = config.distillation.assistant
    taught_by = teacher_of_seed(
        seed, config, dataset, data, trainers, store, progress, key=key, context=common
    )
    context = SeedContext(
        config, dataset, data, taught_by.trainer, taught_by.teacher, trainers["student"], key,
        common,
    )  # fmt: skip
    rows: list[Row] = list(taught_by.rows)
    if config.measuring.bounds:
        bounds = store.unit(seed, "bounds")
        if not bounds.has_rows(0):
            bounds.write_rows(0, bound_rows(context))
        rows += bounds.read_rows([0])
    return context, rows


def run_seeds(
    seeds: Sequence[int],
    config: RunConfig,
    dataset: ImageDataset,
    trainers: Mapping[str, Trainer],
    store: RunStore,
    progress: RunProgress,
) -> dict[int, list[Row]]:
    """Train and measure some seeds' teachers and students, arm after arm; return each seed's rows.

    What is stored completely is read.
    """
    rows: dict[int, list[Row]] = {}
    contexts: dict[int, SeedContext] = {}
    for seed in seeds:
        stored = stored_seed(seed, config, trainers, store)
        if stored is not None:
            progress.networks_done(networks_of_seed(config))
            rows[seed] = stored
    missing = [seed for seed in seeds if seed not in rows]
    if missing:
        data = trainers["student"].place(dataset.train, mean=dataset.mean, std=dataset.std)
    for seed in missing:
        contexts[seed], rows[seed] = seed_context(
            seed, config, dataset, data, trainers, store, progress
        )
    trainer, arms = trainers["student"], config.arm_list()
    earlier: dict[int, EarlierRound] = {}

    def on_group(name: str, count: int) -> None:
        title = f"students {config.distillation.student} together: {name}"
        progress.network(title, trainer.total_steps, folder=name, together=count)

    for group in arms_together(trained_arms(config), config.training.together):
        students = [
            Student(seed, arm, store.unit(seed, arm.slug), context, earlier.get(seed))
            for seed, context in contexts.items()
            for arm in group
        ]
        if config.training.together != "none":
            points = student_points(trainer, config.measuring.points)
            train_together(
                students,
                trainer,
                store,
                points,
                on_group=on_group,
                on_step=progress.step,
                on_done=lambda: progress.network_done(counted=False),
            )
        for seed, arm, unit, context, round_ in students:
            progress.network(
                f"seed {seed}: student {config.distillation.student}, {arm.slug}",
                trainer.total_steps,
                folder=f"{seed}-{arm.slug}",
            )
            student = train_student(
                arm,
                unit,
                context,
                round_,
                measured=arm in arms,
                on_step=progress.step,
                on_tile=progress.tile,
                on_rows=progress.measured,
            )
            progress.network_done()
            if arm == LABELS and needs_labels_student(config):
                earlier[seed] = earlier_round(student, context)
            rows[seed] += student.rows
    return rows


def session_notes(out: Path) -> list[str]:
    """Return a note where a run was continued by other software or on another machine."""
    sessions = read_provenance(out)["sessions"]
    differing = [
        name
        for name in ("versions", "git", "machine", "devices")
        if any(session.get(name) != sessions[0].get(name) for session in sessions)
    ]
    if not differing:
        return []
    return [
        f"This run was continued with other {', '.join(differing)} than it began with; "
        "provenance.json has them all."
    ]


def run_study(
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
    progress = RunProgress(
        quiet=quiet,
        batch_size=config.training.batch_size,
        events=Path(config.output.out) / "tensorboard" if config.output.tensorboard else None,
    )
    with handle_sigterm(), progress:
        dataset = load_dataset(config, progress)
        trainers = {
            **teacher_trainers(config, dataset),
            "student": trainer_of(
                config,
                dataset,
                config.distillation.student,
                optimizer=config.training.student_optimizer,
                epochs=config.training.epochs,
                augmentation=augmentation_of(config, dataset),
            ),
        }
        with open_store(config, data=dataset.provenance, fresh=fresh) as store:
            config = store.config
            progress.networks(config.distillation.seeds * networks_of_seed(config))
            rows: list[Row] = []
            all_seeds = range(config.distillation.seeds)
            # One after another unless they train together: a seed's teacher stays in memory.
            for seeds in (
                [[s] for s in all_seeds] if config.training.together == "none" else [all_seeds]
            ):
                done = run_seeds(seeds, config, dataset, trainers, store, progress)
                rows += [row for seed in seeds for row in done[seed]]
            store.write_rows(rows)
            progress.status("writing the report")
            write_all(
                rows,
                Path(config.output.out),
                config={**to_json(config), "data": dict(dataset.provenance)},
                provenance=read_provenance(store.out),
                title=title or config.title,
                notes=[*notes, *session_notes(store.out)],
            )
    return rows
