"""Who supervises a student on an arm: in its training, and where its supervision is measured."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from kdtheory.arms import Supervision
from kdtheory.memory import parse_bytes
from kdtheory.methods.pair import Pair
from kdtheory.methods.registry import METHODS
from kdtheory.runs.config import RunConfig
from kdtheory.runs.events import Events
from kdtheory.runs.matched import matched_schedule
from kdtheory.runs.network import SplitLogits, TrainedNetwork
from kdtheory.runs.seed import Seed
from kdtheory.runs.shared_teachers import own_model
from kdtheory.runs.teacher_checkpoints import spread_steps
from kdtheory.runs.trainers import networks_of
from kdtheory.targets import (
    Labels,
    TargetProvider,
    Teacher,
    offline,
    online,
    self_distillation,
    tabulate,
    tabulated,
)
from kdtheory.targets.decisions import accuracy
from kdtheory.targets.providers import TeacherLogits
from kdtheory.targets.stateful import StatefulMethod
from kdtheory.training import TeacherCache, cached_teacher
from kdtheory.typing import ApplyFn


def labels_student(seed: Seed) -> TrainedNetwork:
    """Return the seed's student on labels, which is trained before those that need it."""
    assert seed.labels_student is not None
    return seed.labels_student


def seed_of(arm: Supervision, seed: Seed) -> Seed:
    """Return the seed as an arm's student knows it: of another network, if its method makes one."""
    method = METHODS.get(arm.name)
    if method is None or method.network is None:
        return seed
    return seed.with_network(method.network(networks_of(seed.config, seed.dataset)))


def pair_of(arm: Supervision, seed: Seed) -> Pair:
    """Return what a method with variables of its own is made for."""
    teacher = seed.teacher
    known = teacher.trainer is not None
    return Pair(
        networks=networks_of(seed.config, seed.dataset),
        teacher_apply=_apply_fn(teacher) if known else None,
        teacher_variables=teacher.trajectory.final() if known else None,
        labels=np.asarray(seed.dataset.train.labels),
        total_steps=seed.student_trainer.total_steps,
        stage=seed.stages.get(arm.name),
    )


def provider_of(arm: Supervision, seed: Seed) -> TargetProvider | StatefulMethod:
    """Return what trains an arm's student: a target provider, or a method with its own variables.

    Without augmentation a student sees the training examples as they are, on which the teacher's
    logits are known: they are looked up (`targets.tabulated`), which gives the targets of the
    teacher's inference passes up to rounding (with compute_dtype="bfloat16": up to bfloat16's) and
    costs nothing. With augmentation, or with logits above 1 GiB, the teacher runs on every batch
    of each student, or with teacher_cache once for all students.
    """
    method = METHODS.get(arm.name)
    if method is not None and method.training is not None:
        return method.training(pair_of(arm, seed))
    if arm.temperature is None:
        return Labels(seed.dataset.num_outputs)
    loss = None if method is None else method.loss
    mixture = {"temperature": arm.temperature, "alpha": weight_of_teacher(arm, seed)}
    table = seed.teacher_table
    if arm.name == "self":
        earlier = labels_student(seed)
        if table is not None:
            return tabulated(tabulate([earlier.logits[-1]["train"]], [0]), **mixture)
        assert earlier.trainer is not None
        round_before = self_distillation(
            earlier.trainer.apply_fn, earlier.trajectory.final(), **mixture
        )
        return _cached(round_before, seed.config.distillation.student, seed)
    if arm.name == "offline" or loss is not None:
        last = (
            _cached(
                offline(_apply_fn(seed.teacher), seed.teacher.trajectory.final(), **mixture),
                _teaching_model(seed), seed,
            )
            if table is None
            else tabulated(table.last_only(), **mixture)
        )  # fmt: skip
        return last if loss is None else loss(last, seed.student_trainer.total_steps)
    steps = online_steps(arm, seed)
    if table is not None:
        return tabulated(table.rescheduled(steps), **mixture)
    checkpoints = seed.online_teacher.trajectory.rescheduled(steps)
    return _cached(
        online(_apply_fn(seed.teacher), checkpoints, **mixture), _teaching_model(seed), seed
    )


def teacher_cache_of(config: RunConfig, events: Events) -> TeacherCache | None:
    """Return where a run keeps its teacher's logits on the students' views, if it does.

    Raises:
      InputError: the place is a file, or has links in it.
    """
    if not config.teaching.teacher_cache:
        return None
    shared = config.teaching.teachers
    return TeacherCache(
        folder=Path(config.output.out if shared is None else shared) / "views",
        budget=parse_bytes(config.teaching.teacher_cache_budget),
        on_full=events.told,
    )


def _teaching_model(seed: Seed) -> str:
    networks = seed.config.distillation
    return networks.teacher if networks.assistant is None else networks.assistant


def _cached(teacher: Teacher, model: str, seed: Seed) -> TeacherLogits:
    """Return the teacher as it is, or through the run's cache, where it has one."""
    if seed.teacher_cache is None:
        return teacher
    names = {
        "model": model, "compute_dtype": seed.config.training.compute_dtype, **own_model(model),
    }  # fmt: skip
    return cached_teacher(teacher, seed.views, seed.teacher_cache, names=names)


def _apply_fn(teacher: TrainedNetwork) -> ApplyFn:
    assert teacher.trainer is not None, "a teacher of logits alone is looked up"
    return teacher.trainer.apply_fn


def weight_of_teacher(arm: Supervision, seed: Seed) -> float:
    """Return alpha of an arm's targets: methods with a loss of their own show the teacher alone."""
    method = METHODS.get(arm.name)
    return 1.0 if method and method.own_loss else seed.config.distillation.alpha


def trains_alone(arm: Supervision) -> bool:
    """Return whether an arm's student never trains together with others.

    >>> trains_alone(Supervision("dml", 1.0)), trains_alone(Supervision("dkd", 4.0))
    (True, False)
    """
    return arm.name in METHODS and METHODS[arm.name].training is not None


def has_own_schedule(arm: Supervision, config: RunConfig) -> bool:
    """Return whether an arm's checkpoints teach at other steps than the paper's rule says.

    >>> has_own_schedule(Supervision("online", 1.0), RunConfig.of(online_until=0.5))
    True
    """
    if arm.name == "online":
        return config.teaching.online_until is not None
    return arm.name == "matched" or (arm.name in METHODS and METHODS[arm.name].route is not None)


def online_steps(arm: Supervision, seed: Seed) -> tuple[int, ...]:
    """Return the last student step of each checkpoint of the online teacher, on such an arm."""
    if arm.name == "online":
        taught, until = seed.online_teacher.steps, seed.config.teaching.online_until
        if until is None:
            return taught
        return spread_steps(taught, until, seed.student_trainer.total_steps)
    method = METHODS.get(arm.name)
    if method is not None and method.route is not None:
        chance = 1 / max(seed.dataset.num_outputs, 2)
        labels = seed.dataset.train.labels
        gained = [
            accuracy(logits["train"], labels) - chance for logits in seed.online_teacher.logits
        ]
        return method.route(gained, seed.student_trainer.total_steps)
    assert arm.temperature is not None
    return matched_schedule(seed, arm.temperature)


def teacher_logits_at(arm: Supervision, step: int, seed: Seed) -> SplitLogits | None:
    """Return the logits that supervise an arm at a step, read off the stored checkpoints.

    None where labels do.
    """
    method = METHODS.get(arm.name)
    if method is not None and method.targets_from != "teacher":
        return seed.peer_logits[arm, step] if method.targets_from == "peer" else None
    if arm.name == "offline" or (method is not None and method.own_loss):
        return seed.teacher.logits[-1]
    if arm.name in ("online", "matched") or method is not None:
        teacher = seed.online_teacher
        steps = online_steps(arm, seed)
        return teacher.logits[int(teacher.trajectory.rescheduled(steps).index(step))]
    if arm.name == "self":
        return labels_student(seed).logits[-1]
    return None


def shown(arm: Supervision, logits: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Return what an arm's student is shown of its teacher's logits."""
    method = METHODS.get(arm.name)
    return logits if method is None else np.asarray(method.shown(logits))


def supervisions(
    arm: Supervision, step: int, seed: Seed
) -> list[tuple[str, float | None, Float[np.ndarray, "n d"]]]:
    """Return (name, temperature, targets) of what is measured on an arm's student at a step.

    On every student the control, the labels, and the teacher, offline and online; on the students
    of the other arms their own supervision too. A teacher that was given as one checkpoint has no
    online supervision: it would be the offline one, and every comparison of them be seen.
    """
    alone = bool(seed.config.teaching.given) and len(seed.teacher.steps) == 1
    named: list[tuple[str, float | None, np.ndarray]] = [
        (name, None, targets) for name, targets in seed.fixed_targets.items()
    ]
    arms = [
        Supervision(name, temperature)
        for name in (("offline",) if alone else ("offline", "online"))
        for temperature in seed.config.distillation.temperatures
    ]
    if arm.name not in ("labels", "offline", "online"):
        arms.append(arm)
    for each in arms:
        logits = teacher_logits_at(each, step, seed)
        if logits is None:
            named.append((each.name, None, seed.fixed_targets["labels"]))
            continue
        assert each.temperature is not None
        targets = seed.targets_of(
            shown(each, seed.measured(logits)), each.temperature, weight_of_teacher(each, seed)
        )
        named.append((each.name, each.temperature, targets))
    return named
