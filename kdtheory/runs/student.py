"""A student on one arm: trained, and measured at evenly spaced points of its training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from kdtheory.analysis import fidelity, margins, ntk_similarity
from kdtheory.errors import KernelError
from kdtheory.rows import Row, Supervision, checked_row
from kdtheory.runs.context import SeedContext
from kdtheory.runs.matched import matched_schedules
from kdtheory.runs.network import evenly_spaced_epochs
from kdtheory.runs.store import Unit
from kdtheory.runs.supervisors import (
    EarlierRound,
    online_steps,
    provider_of,
    supervisions,
    teacher_logits_at,
)
from kdtheory.runs.teacher import SplitLogits, accuracies, split_logits
from kdtheory.targets import cross_entropy, distillation_loss
from kdtheory.training import Trainer
from kdtheory.typing import Variables

# Compiled once a shape; temperature and alpha are arguments, so the arms share them.
_distillation_loss = jax.jit(distillation_loss)
_cross_entropy = jax.jit(cross_entropy)


class TrainedStudent(NamedTuple):
    """A student after its training."""

    rows: list[Row]
    """Its measurements in order; none if it was not measured."""
    variables: Variables
    """At the end."""
    learned: Mapping[int, Float[np.ndarray, "n d"]]
    """By step, its logits on the measuring examples, if it is the pilot of matched arms."""


def _train_loss(
    arm: Supervision, logits: SplitLogits, teacher_logits: SplitLogits | None, context: SeedContext
) -> float:
    labels = context.dataset.train.labels
    if teacher_logits is None:
        return float(_cross_entropy(logits["train"], labels).mean())
    assert arm.temperature is not None
    losses = _distillation_loss(
        logits["train"],
        teacher_logits["train"],
        labels,
        alpha=context.config.distillation.alpha,
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


def _train_similarities(
    kernel: Float[np.ndarray, "n n"] | None, context: SeedContext
) -> dict[str, Any]:
    """Return the similarity of student's and teacher's kernels on the measuring examples.

    As fields; None where not even the (n, n) kernels fit in memory.
    """
    if kernel is None:
        return {"ntk_similarity": None, "ntk_similarity_centred": None}
    teacher = context.teacher_kernel
    return {
        "ntk_similarity": ntk_similarity(kernel, teacher),
        "ntk_similarity_centred": _centred_similarity(kernel, teacher),
    }


def _test_similarities(
    variables: Variables, context: SeedContext, on_tile: Callable[[int, int], None] | None
) -> dict[str, Any]:
    """Return the similarity of student's and teacher's kernels on test examples, as fields."""
    kernel = context.kernel_to_compare(
        context.student_trainer, variables, context.similarity_images, on_tile
    )
    teacher = context.teacher_test_kernel
    return {
        "test_ntk_similarity": ntk_similarity(kernel, teacher),
        "test_ntk_similarity_centred": _centred_similarity(kernel, teacher),
    }


def measure(
    arm: Supervision,
    step: int,
    variables: Variables,
    context: SeedContext,
    earlier: EarlierRound | None,
    *,
    final: bool,
    on_tile: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Return the rows of one point: the student's own, and one for each supervision."""
    config, trainer, dataset = context.config, context.student_trainer, context.dataset
    common: dict[str, Any] = {
        **context.row, "arm": arm.name, "temperature": arm.temperature, "step": step,
        "epoch": step // trainer.epoch_steps, "final": final,
    }  # fmt: skip
    logits = split_logits(
        trainer, variables, dataset, label=f"{student_label(arm, context)}, step {step}"
    )
    if step == 0:
        kernel = context.kernel_at_init(on_tile)
    else:
        kernel = context.student_kernel(variables, on_tile)
    named = supervisions(arm, step, context, earlier)
    complexities = context.complexities(kernel, [targets for _, _, targets in named])
    reference = context.teacher.logits[-1]
    on_train = fidelity(logits["train"], reference["train"])
    on_test = fidelity(logits["test"], reference["test"])
    supervising = teacher_logits_at(arm, step, context, earlier)
    student_row = {
        **common, "kind": "student",
        "alpha": None if arm.temperature is None else config.distillation.alpha,
        "train_loss": _train_loss(arm, logits, supervising, context),
        **accuracies(logits, dataset),
        "train_fidelity": float(on_train.agreement), "test_fidelity": float(on_test.agreement),
        "train_kl": float(on_train.kl), "test_kl": float(on_test.kl),
        **_train_similarities(kernel.trace_kernel, context),
        "margin": float(np.mean(margins(logits["train"], dataset.train.labels))),
    }  # fmt: skip
    if arm.name == "matched":
        student_row["schedule"] = list(online_steps(arm, context, earlier))
    if final and config.measuring.similarity_size:
        student_row |= _test_similarities(variables, context, on_tile)
    return [
        checked_row(student_row),
        *(
            checked_row({
                **common, "kind": "complexity", "supervision": name,
                "supervision_temperature": temperature, **values.row(),
            })
            for (name, temperature, _), values in zip(named, complexities, strict=True)
        ),
    ]  # fmt: skip


def student_label(arm: Supervision, context: SeedContext) -> str:
    """Return a student's name for messages, such as "student on online-tau4, seed 0"."""
    return f"student on {arm.slug}, seed {context.row['seed']}"


def student_points(trainer: Trainer, count: int) -> list[int]:
    """Return the steps of a student's evenly spaced measuring points, first and last included."""
    return [e * trainer.epoch_steps for e in evenly_spaced_epochs(trainer.epochs, count)]


def train_student(
    arm: Supervision,
    unit: Unit,
    context: SeedContext,
    earlier: EarlierRound | None,
    *,
    measured: bool = True,
    on_step: Callable[[int, float], None] | None = None,
    on_tile: Callable[[int, int], None] | None = None,
    on_rows: Callable[[int, Sequence[Row]], None] | None = None,
) -> TrainedStudent:
    """Train and measure one student, or read what an earlier call stored.

    Every arm of a seed starts from the same parameters and sees the same batches, so that arms are
    compared in pairs.

    Args:
      arm: how the student is supervised.
      unit: where it is stored.
      context: what the seed's students share.
      earlier: the student trained on labels, for the self and matched arms.
      measured: whether to measure it; otherwise it is only trained.
      on_step: called with (step, loss) after each dispatch.
      on_tile: called with (done, total) after each tile of a kernel.
      on_rows: called with (step, rows) after each point that is measured now.
    """
    trainer, config = context.student_trainer, context.config
    points = student_points(trainer, config.measuring.points)
    variables: Variables | None = None
    learned: dict[int, np.ndarray] = {}
    is_pilot = arm.name == "labels" and "matched" in config.distillation.arms
    for step, variables in trainer.train(
        provider_of(arm, context, earlier), context.data,
        init_key=context.init_key, train_key=jax.random.fold_in(context.key, 2),
        points=points, folder=unit.folder, name=student_label(arm, context), on_step=on_step,
    ):  # fmt: skip
        if is_pilot:
            learned[step] = context.student_logits(variables)
        if measured and not unit.has_rows(step):
            final = step == points[-1]
            rows = measure(arm, step, variables, context, earlier, final=final, on_tile=on_tile)
            unit.write_rows(step, rows)
            if on_rows is not None:
                on_rows(step, rows)
    assert variables is not None
    return TrainedStudent(unit.read_rows(points) if measured else [], variables, learned)


def earlier_round(student: TrainedStudent, context: SeedContext) -> EarlierRound:
    """Return what later students take from the student trained on labels."""
    logits = split_logits(
        context.student_trainer,
        student.variables,
        context.dataset,
        label=student_label(Supervision("labels", None), context),
    )
    matched = "matched" in context.config.distillation.arms
    schedules = matched_schedules(context, student.learned) if matched else {}
    return EarlierRound(student.variables, logits, schedules)
