"""A student on one arm: trained, and measured at evenly spaced points of its training."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from kdtheory.analysis import fidelity, margins, ntk_similarity
from kdtheory.datasets import ImageDataset, normalize
from kdtheory.distillation import (
    Labels,
    RandomLabels,
    TargetProvider,
    Trajectory,
    cross_entropy,
    distillation_loss,
    mixture_targets,
    offline,
    online,
    self_distillation,
    tabulate,
    tabulated,
)
from kdtheory.errors import KernelError
from kdtheory.ntk import gram
from kdtheory.studies.config import SELF_TEMPERATURE, Arm, RunConfig
from kdtheory.studies.measure import StudentKernel, measure_supervisions, student_kernel
from kdtheory.studies.network import Trainer, evenly_spaced_epochs
from kdtheory.studies.store import Row, Unit
from kdtheory.studies.teacher import SplitLogits, TrainedTeacher, accuracies, split_logits
from kdtheory.training import Examples, TrainingData, in_precision
from kdtheory.typing import Variables

# Compiled once a shape; temperature and alpha are arguments, so the arms share them.
_mixture_targets = jax.jit(mixture_targets, static_argnames="form")
_distillation_loss = jax.jit(distillation_loss)
_cross_entropy = jax.jit(cross_entropy)

#: A teacher's logits on the training split are kept on the device up to this size.
TABLE_BYTES = 2**30


@dataclass(frozen=True)
class SeedContext:
    """What all students of one seed share."""

    config: RunConfig
    dataset: ImageDataset
    data: TrainingData
    teacher_trainer: Trainer
    teacher: TrainedTeacher
    student_trainer: Trainer
    key: jax.Array
    row: Row
    """What every row of this seed says besides the measurement."""
    kernels_at_init: dict[str, StudentKernel] = field(default_factory=dict)
    """Every arm starts from the same student: its kernel is computed once."""

    @functools.cached_property
    def ntk_examples(self) -> Examples:
        """The first training examples: those whose kernel is measured, as the model sees them."""
        n, dataset = self.config.ntk_size, self.dataset
        images = normalize(dataset.train.images[:n], dataset.mean, dataset.std)
        return Examples(images, jnp.asarray(dataset.train.labels[:n]), jnp.arange(n))

    @functools.cached_property
    def teacher_table(self) -> Trajectory | None:
        """The teacher's logits on the training split, every checkpoint's, if students may use them.

        Online and offline teachers share it, and so one compiled program.
        """
        logits = [split["train"] for split in self.teacher.logits]
        if self.config.augment or sum(values.nbytes for values in logits) > TABLE_BYTES:
            return None
        return tabulate(logits, self.teacher.steps)

    @functools.cached_property
    def fixed_targets(self) -> dict[str, Float[np.ndarray, "n d"]]:
        """The supervisions that no teacher gives: the control and the labels."""
        num_outputs = self.dataset.num_outputs
        providers: dict[str, TargetProvider] = {
            "random_labels": RandomLabels(jax.random.fold_in(self.key, 3), num_outputs),
            "labels": Labels(num_outputs),
        }
        return {
            name: np.asarray(provider.targets(0, self.ntk_examples))
            for name, provider in providers.items()
        }

    @functools.cached_property
    def teacher_kernel(self) -> Float[np.ndarray, "n n"]:
        """The final teacher's kernel on the measuring examples, summed over outputs."""
        return gram(
            self.teacher_trainer.model.apply,
            self.teacher.trajectory.final(),
            np.asarray(self.ntk_examples.images),
            outputs="trace",
            method=self.config.ntk_method,
            batch_size=self.config.ntk_batch_size,
            # Its entries are compared; its inverse, which would need float64, is not taken.
            dtype="float32",
        )


@dataclass(frozen=True)
class SelfTeacher:
    """The student's own earlier round, trained on labels."""

    variables: Variables
    logits: SplitLogits


def provider_of(arm: Arm, context: SeedContext, self_teacher: SelfTeacher | None) -> TargetProvider:
    """Return the target provider that trains an arm's student.

    Without augmentation a student sees the training examples as they are, on which the teacher's
    logits are known: they are looked up (`distillation.tabulated`), which gives the targets of the
    teacher's inference passes up to rounding (with compute_dtype="bfloat16": up to bfloat16's) and
    costs nothing. With augmentation, or with logits above 1 GiB, the teacher runs on every batch.
    """
    if arm.temperature is None:
        return Labels(context.dataset.num_outputs)
    mixture = {"temperature": arm.temperature, "alpha": context.config.alpha}
    table = context.teacher_table
    dtype = context.config.compute_dtype
    if arm.name == "self":
        assert self_teacher is not None
        if table is not None:
            return tabulated(tabulate([self_teacher.logits["train"]], [0]), **mixture)
        apply_student = in_precision(context.student_trainer.model.apply, dtype)
        return self_distillation(apply_student, self_teacher.variables, **mixture)
    if table is not None:
        return tabulated(table.last_only() if arm.name == "offline" else table, **mixture)
    apply_teacher = in_precision(context.teacher_trainer.model.apply, dtype)
    if arm.name == "offline":
        return offline(apply_teacher, context.teacher.trajectory.final(), **mixture)
    return online(apply_teacher, context.teacher.trajectory, **mixture)


def teacher_logits_at(
    arm: Arm, step: int, context: SeedContext, self_teacher: SelfTeacher | None
) -> SplitLogits | None:
    """Return the logits that supervise an arm at a step, read off the stored checkpoints."""
    if arm.name == "offline":
        return context.teacher.logits[-1]
    if arm.name == "online":
        return context.teacher.logits[context.teacher.position(step)]
    if arm.name == "self" and self_teacher is not None:
        return self_teacher.logits
    return None


def supervisions(
    step: int, context: SeedContext, self_teacher: SelfTeacher | None
) -> list[tuple[str, float | None, Float[np.ndarray, "n d"]]]:
    """Return (name, temperature, targets) of every supervision at a step, on the NTK's examples."""
    config, examples = context.config, context.ntk_examples
    named: list[tuple[str, float | None, np.ndarray]] = [
        (name, None, targets) for name, targets in context.fixed_targets.items()
    ]
    arms = [
        Arm(name, temperature)
        for name in ("offline", "online")
        for temperature in config.temperatures
    ]
    if self_teacher is not None:
        arms.append(Arm("self", SELF_TEMPERATURE))
    for arm in arms:
        logits = teacher_logits_at(arm, step, context, self_teacher)
        assert logits is not None
        assert arm.temperature is not None
        targets = _mixture_targets(
            logits["train"][: config.ntk_size],
            examples.labels,
            temperature=arm.temperature,
            alpha=config.alpha,
            form=config.target_form,
        )
        named.append((arm.name, arm.temperature, np.asarray(targets)))
    return named


def _train_loss(
    arm: Arm, logits: SplitLogits, teacher_logits: SplitLogits | None, context: SeedContext
) -> float:
    labels = context.dataset.train.labels
    if teacher_logits is None:
        return float(_cross_entropy(logits["train"], labels).mean())
    assert arm.temperature is not None
    losses = _distillation_loss(
        logits["train"],
        teacher_logits["train"],
        labels,
        alpha=context.config.alpha,
        temperature=arm.temperature,
    )
    return float(losses.mean())


def _centred_similarity(student: np.ndarray, teacher: np.ndarray) -> float | None:
    """Return the centred similarity; None for a constant kernel, where it does not exist.

    A student whose units have all died has one: the bias's. That is a finding, not a failure.
    """
    try:
        return ntk_similarity(student, teacher, centred=True)
    except KernelError:
        return None


def measure(
    arm: Arm,
    step: int,
    variables: Variables,
    initial_logits: Float[np.ndarray, "n d"],
    context: SeedContext,
    self_teacher: SelfTeacher | None,
    *,
    final: bool,
    on_tile: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Return the rows of one point: the student's own, and one for each supervision."""
    config, trainer, dataset = context.config, context.student_trainer, context.dataset
    common: Row = {
        **context.row, "arm": arm.name, "temperature": arm.temperature, "step": step,
        "epoch": step // trainer.epoch_steps, "final": final,
    }  # fmt: skip
    logits = split_logits(
        trainer, variables, dataset, label=f"{student_label(arm, context)}, step {step}"
    )
    kernel = context.kernels_at_init.get("kernel") if step == 0 else None
    if kernel is None:
        kernel = student_kernel(
            trainer.model.apply,
            variables,
            np.asarray(context.ntk_examples.images),
            config,
            dataset.num_outputs,
            on_tile,
        )
        if step == 0:
            context.kernels_at_init["kernel"] = kernel
    named = supervisions(step, context, self_teacher)
    complexities = measure_supervisions(
        kernel,
        [targets for _, _, targets in named],
        dataset.train.labels[: config.ntk_size],
        initial_logits,
        config,
    )
    reference = context.teacher.logits[-1]
    on_train = fidelity(logits["train"], reference["train"])
    on_test = fidelity(logits["test"], reference["test"])
    supervising = teacher_logits_at(arm, step, context, self_teacher)
    student_row = {
        **common, "kind": "student",
        "alpha": None if arm.temperature is None else config.alpha,
        "train_loss": _train_loss(arm, logits, supervising, context),
        **accuracies(logits, dataset),
        "train_fidelity": float(on_train.agreement), "test_fidelity": float(on_test.agreement),
        "train_kl": float(on_train.kl), "test_kl": float(on_test.kl),
        "ntk_similarity": ntk_similarity(kernel.trace_kernel, context.teacher_kernel),
        "ntk_similarity_centred": _centred_similarity(
            kernel.trace_kernel, context.teacher_kernel
        ),
        "margin": float(np.mean(margins(logits["train"], dataset.train.labels))),
    }  # fmt: skip
    return [
        student_row,
        *(
            {
                **common, "kind": "complexity", "supervision": name,
                "supervision_temperature": temperature, **values._asdict(),
            }
            for (name, temperature, _), values in zip(named, complexities, strict=True)
        ),
    ]  # fmt: skip


def student_label(arm: Arm, context: SeedContext) -> str:
    """Return a student's name for messages, such as "student on online-tau4, seed 0"."""
    return f"student on {arm.slug}, seed {context.row['seed']}"


def student_points(trainer: Trainer, count: int) -> list[int]:
    """Return the steps of a student's evenly spaced measuring points, first and last included."""
    return [e * trainer.epoch_steps for e in evenly_spaced_epochs(trainer.epochs, count)]


def train_student(
    arm: Arm,
    unit: Unit,
    context: SeedContext,
    self_teacher: SelfTeacher | None,
    *,
    measured: bool = True,
    on_step: Callable[[int, float], None] | None = None,
    on_tile: Callable[[int, int], None] | None = None,
) -> tuple[list[Row], Variables]:
    """Train and measure one student, or read what an earlier call stored.

    Every arm of a seed starts from the same parameters and sees the same batches, so that arms are
    compared in pairs.

    Args:
      arm: how the student is supervised.
      unit: where it is stored.
      context: what the seed's students share.
      self_teacher: the earlier round, for the self arm.
      measured: whether to measure it; otherwise it is only trained.
      on_step: called with (step, loss) after each dispatch.
      on_tile: called with (done, total) after each tile of a kernel.

    Returns:
      Its rows in order (none if not measured), and its final variables.
    """
    trainer, config = context.student_trainer, context.config
    points = student_points(trainer, config.points)
    initial_logits: np.ndarray | None = None
    variables: Variables | None = None
    for step, variables in trainer.train(
        unit, provider_of(arm, context, self_teacher), context.data,
        init_key=jax.random.fold_in(context.key, 1), train_key=jax.random.fold_in(context.key, 2),
        points=points, label=student_label(arm, context), on_step=on_step,
    ):  # fmt: skip
        if initial_logits is None:
            examples = context.ntk_examples
            initial_logits = np.asarray(trainer.model.apply(variables, examples.images))
        if measured and not unit.has_rows(step):
            final = step == points[-1]
            rows = measure(
                arm, step, variables, initial_logits, context, self_teacher, final=final,
                on_tile=on_tile,
            )  # fmt: skip
            unit.write_rows(step, rows)
    assert variables is not None
    return unit.read_rows(points) if measured else [], variables


def earlier_round(variables: Variables, context: SeedContext) -> SelfTeacher:
    """Return a trained student as the teacher of its next round."""
    logits = split_logits(
        context.student_trainer,
        variables,
        context.dataset,
        label=student_label(Arm("labels", None), context),
    )
    return SelfTeacher(variables, logits)
