"""Who supervises a student on an arm: in its training, and where its supervision is measured."""

import numpy as np
from jaxtyping import Float

from kdtheory.rows import Supervision
from kdtheory.runs.matched import matched_schedule
from kdtheory.runs.network import SplitLogits, TrainedNetwork
from kdtheory.runs.seed import Seed
from kdtheory.targets import (
    Labels,
    TargetProvider,
    offline,
    online,
    self_distillation,
    tabulate,
    tabulated,
)


def labels_student(seed: Seed) -> TrainedNetwork:
    """Return the seed's student on labels, which is trained before those that need it."""
    assert seed.labels_student is not None
    return seed.labels_student


def provider_of(arm: Supervision, seed: Seed) -> TargetProvider:
    """Return the target provider that trains an arm's student.

    Without augmentation a student sees the training examples as they are, on which the teacher's
    logits are known: they are looked up (`targets.tabulated`), which gives the targets of the
    teacher's inference passes up to rounding (with compute_dtype="bfloat16": up to bfloat16's) and
    costs nothing. With augmentation, or with logits above 1 GiB, the teacher runs on every batch.
    """
    if arm.temperature is None:
        return Labels(seed.dataset.num_outputs)
    mixture = {"temperature": arm.temperature, "alpha": seed.config.distillation.alpha}
    table = seed.teacher_table
    if arm.name == "self":
        earlier = labels_student(seed)
        if table is not None:
            return tabulated(tabulate([earlier.logits[-1]["train"]], [0]), **mixture)
        return self_distillation(earlier.trainer.apply_fn, earlier.trajectory.final(), **mixture)
    apply_teacher = seed.teacher.trainer.apply_fn
    if arm.name == "offline":
        if table is not None:
            return tabulated(table.last_only(), **mixture)
        return offline(apply_teacher, seed.teacher.trajectory.final(), **mixture)
    steps = online_steps(arm, seed)
    if table is not None:
        return tabulated(table.rescheduled(steps), **mixture)
    return online(apply_teacher, seed.online_teacher.trajectory.rescheduled(steps), **mixture)


def online_steps(arm: Supervision, seed: Seed) -> tuple[int, ...]:
    """Return the last student step of each checkpoint of the online teacher, on such an arm."""
    if arm.name == "online":
        return seed.online_teacher.steps
    assert arm.temperature is not None
    return matched_schedule(seed, arm.temperature)


def teacher_logits_at(arm: Supervision, step: int, seed: Seed) -> SplitLogits | None:
    """Return the logits that supervise an arm at a step, read off the stored checkpoints."""
    if arm.name == "offline":
        return seed.teacher.logits[-1]
    if arm.name in ("online", "matched"):
        teacher = seed.online_teacher
        steps = online_steps(arm, seed)
        return teacher.logits[int(teacher.trajectory.rescheduled(steps).index(step))]
    if arm.name == "self":
        return labels_student(seed).logits[-1]
    return None


def supervisions(
    arm: Supervision, step: int, seed: Seed
) -> list[tuple[str, float | None, Float[np.ndarray, "n d"]]]:
    """Return (name, temperature, targets) of what is measured on an arm's student at a step.

    On every student the control, the labels, and the teacher, offline and online; on the students
    of the self and matched arms their own supervision too.
    """
    named: list[tuple[str, float | None, np.ndarray]] = [
        (name, None, targets) for name, targets in seed.fixed_targets.items()
    ]
    arms = [
        Supervision(name, temperature)
        for name in ("offline", "online")
        for temperature in seed.config.distillation.temperatures
    ]
    if arm.name in ("self", "matched"):
        arms.append(arm)
    for each in arms:
        logits = teacher_logits_at(each, step, seed)
        assert logits is not None
        assert each.temperature is not None
        targets = seed.targets_of(seed.measured(logits), each.temperature)
        named.append((each.name, each.temperature, targets))
    return named
