"""A run's data and its teacher's logits, read and held against its configuration."""

from pathlib import Path

from kdtheory.datasets import ImageDataset
from kdtheory.errors import InputError
from kdtheory.memory import check_fits, factorising_bytes
from kdtheory.methods.registry import check_checkpoints, check_networks, check_suitable
from kdtheory.runs.bounds_at_init import BOUNDS_NEED_A_FACTOR
from kdtheory.runs.certificates import certificate_bytes
from kdtheory.runs.config import MeasuringConfig, RunConfig
from kdtheory.runs.events import Events
from kdtheory.runs.teacher_file import KnownTeacher, function_teacher, read_teacher_file
from kdtheory.runs.trainers import networks_of


def load_dataset(config: RunConfig, events: Events | None = None) -> ImageDataset:
    """Load a run's data set, and check that the configuration fits it.

    Raises:
      InputError: the data is missing or damaged, or a size is above what there is.
    """
    dataset = config.data.load(
        None if events is None else events.reading, certify_size=config.measuring.certify
    )
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
        if config.measuring.kernel != "none" and size > len(split):
            raise InputError(
                f"{name} must be at most the {len(split)} {words} examples, got {size}"
            )
    if config.measuring.bounds and dataset.num_outputs != 1:
        raise InputError(
            "the terms of the teacher-student bound are for binary tasks (--task first_half, ...); "
            f"{config.data.task} has {dataset.num_outputs} outputs"
        )
    check_suitable(
        config.distillation.arms,
        num_outputs=dataset.num_outputs,
        checkpoints=config.teaching.online_checkpoints or config.teaching.teacher_checkpoints,
    )
    check_networks(
        config.distillation.arms, networks_of(config, dataset), mixup=config.training.mixup,
        given_start=config.training.student_variables is not None,
    )  # fmt: skip
    if config.measuring.kernel != "none":
        check_kernel(config.measuring, dataset.num_outputs)
    if config.measuring.certify:
        check_fits(
            f"a kernel of {config.measuring.certify:,} examples set apart and its factors",
            certificate_bytes(config.measuring.certify),
            "lower --certify",
            budget=config.measuring.memory_budget,
        )
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


def load_known_teacher(config: RunConfig, dataset: ImageDataset) -> KnownTeacher:
    """Return a teacher's logits from the file or function that is named; check that they suffice.

    Raises:
      InputError: no logits of these examples, or not those that the run's arms and measurements
        are made from.
    """
    teaching, arms, measuring = config.teaching, config.distillation.arms, config.measuring
    name = teaching.logits_of
    assert name is not None
    teacher = (
        function_teacher(name, dataset)
        if teaching.teacher_function
        else read_teacher_file(Path(name), dataset)
    )
    check_checkpoints(arms, len(teacher.logits), name)
    measured = measuring.kernel != "none" and measuring.ntk_split == "test"
    if "test" not in teacher.logits[0] and (measured or measuring.bounds):
        raise InputError(
            f"{name} has no logits of the test split, which --bounds and --ntk-split test need: "
            "give them as test"
        )
    return teacher
