"""Who supervises a student on an arm: in its training, and where its supervision is measured."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from kdtheory.rows import Supervision
from kdtheory.runs.context import SeedContext
from kdtheory.runs.teacher import SplitLogits
from kdtheory.targets import (
    Labels,
    TargetProvider,
    offline,
    online,
    self_distillation,
    tabulate,
    tabulated,
)
from kdtheory.typing import Variables


@dataclass(frozen=True)
class EarlierRound:
    """What later students take from the student trained on labels."""

    variables: Variables
    """Of its end: the teacher of self-distillation."""
    logits: SplitLogits
    schedules: Mapping[float, tuple[int, ...]]
    """The online teacher's steps on the matched arm, by temperature; see `studies.matched`."""


def provider_of(
    arm: Supervision, context: SeedContext, earlier: EarlierRound | None
) -> TargetProvider:
    """Return the target provider that trains an arm's student.

    Without augmentation a student sees the training examples as they are, on which the teacher's
    logits are known: they are looked up (`targets.tabulated`), which gives the targets of the
    teacher's inference passes up to rounding (with compute_dtype="bfloat16": up to bfloat16's) and
    costs nothing. With augmentation, or with logits above 1 GiB, the teacher runs on every batch.
    """
    if arm.temperature is None:
        return Labels(context.dataset.num_outputs)
    mixture = {"temperature": arm.temperature, "alpha": context.config.distillation.alpha}
    table = context.teacher_table
    if arm.name == "self":
        assert earlier is not None
        if table is not None:
            return tabulated(tabulate([earlier.logits["train"]], [0]), **mixture)
        return self_distillation(context.student_trainer.apply_fn, earlier.variables, **mixture)
    apply_teacher = context.teacher_trainer.apply_fn
    if arm.name == "offline":
        if table is not None:
            return tabulated(table.last_only(), **mixture)
        return offline(apply_teacher, context.teacher.trajectory.final(), **mixture)
    steps = online_steps(arm, context, earlier)
    if table is not None:
        return tabulated(table.rescheduled(steps), **mixture)
    return online(apply_teacher, context.teacher.online.trajectory.rescheduled(steps), **mixture)


def online_steps(
    arm: Supervision, context: SeedContext, earlier: EarlierRound | None
) -> tuple[int, ...]:
    """Return the last student step of each checkpoint of the online teacher, on such an arm."""
    if arm.name == "online":
        return context.teacher.online.steps
    assert earlier is not None
    assert arm.temperature is not None
    return earlier.schedules[arm.temperature]


def teacher_logits_at(
    arm: Supervision, step: int, context: SeedContext, earlier: EarlierRound | None
) -> SplitLogits | None:
    """Return the logits that supervise an arm at a step, read off the stored checkpoints."""
    if arm.name == "offline":
        return context.teacher.logits[-1]
    if arm.name in ("online", "matched"):
        teacher = context.teacher.online
        steps = online_steps(arm, context, earlier)
        return teacher.logits[int(teacher.trajectory.rescheduled(steps).index(step))]
    if arm.name == "self":
        assert earlier is not None
        return earlier.logits
    return None


def supervisions(
    arm: Supervision, step: int, context: SeedContext, earlier: EarlierRound | None
) -> list[tuple[str, float | None, Float[np.ndarray, "n d"]]]:
    """Return (name, temperature, targets) of what is measured on an arm's student at a step.

    On every student the control, the labels, and the teacher, offline and online; on the students
    of the self and matched arms their own supervision too.
    """
    named: list[tuple[str, float | None, np.ndarray]] = [
        (name, None, targets) for name, targets in context.fixed_targets.items()
    ]
    arms = [
        Supervision(name, temperature)
        for name in ("offline", "online")
        for temperature in context.config.distillation.temperatures
    ]
    if arm.name in ("self", "matched"):
        arms.append(arm)
    for each in arms:
        logits = teacher_logits_at(each, step, context, earlier)
        assert logits is not None
        assert each.temperature is not None
        targets = context.targets_of(context.measured(logits), each.temperature)
        named.append((each.name, each.temperature, targets))
    return named
