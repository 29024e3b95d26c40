"""A student on one arm: trained, and measured at evenly spaced points of its training."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from kdtheory.analysis import fidelity, margins, ntk_similarity
from kdtheory.arms import LABELS, Supervision
from kdtheory.errors import KernelError
from kdtheory.methods.registry import METHODS
from kdtheory.rows import Row, checked_row
from kdtheory.runs.certificates import certificate_rows
from kdtheory.runs.config import RunConfig
from kdtheory.runs.events import Events
from kdtheory.runs.network import (
    Network,
    SplitLogits,
    TrainedNetwork,
    accuracies,
    evenly_spaced_epochs,
    split_logits,
)
from kdtheory.runs.seed import Seed
from kdtheory.runs.supervision import (
    has_own_schedule,
    online_steps,
    provider_of,
    supervisions,
    teacher_logits_at,
    weight_of_teacher,
)
from kdtheory.runs.unit import Unit
from kdtheory.targets import (
    Examples,
    cross_entropy,
    distillation_loss,
    tabulate,
    tabulated,
)
from kdtheory.training import Trainer
from kdtheory.typing import Variables

# Compiled once a shape; temperature and alpha are arguments, so the arms share them.
_distillation_loss = jax.jit(distillation_loss)
_cross_entropy = jax.jit(cross_entropy)
_method_loss = jax.jit(lambda provider, *arguments: provider.loss(*arguments))
_logit_loss = jax.jit(lambda logit_loss, *arguments: logit_loss(*arguments), static_argnums=0)


_NO_SIMILARITY: dict[str, None] = {"ntk_similarity": None, "ntk_similarity_centred": None}


def _train_loss(
    arm: Supervision, logits: SplitLogits, teacher_logits: SplitLogits | None, seed: Seed
) -> float:
    labels = seed.dataset.train.labels
    if teacher_logits is None:
        return float(_cross_entropy(logits["train"], labels).mean())
    assert arm.temperature is not None
    alpha = weight_of_teacher(arm, seed)
    method = METHODS.get(arm.name)
    loss, logit_loss = (None, None) if method is None else (method.loss, method.logit_loss)
    if logit_loss is not None:
        losses = _logit_loss(logit_loss, logits["train"], teacher_logits["train"], labels)
    elif loss is not None:
        total = seed.student_trainer.total_steps
        examples = Examples(seed.dataset.train.images, labels, np.arange(len(labels)))
        table = tabulate([teacher_logits["train"]], [total])
        teacher = tabulated(table, temperature=arm.temperature, alpha=alpha)
        losses = _method_loss(loss(teacher, total), logits["train"], total, examples)
    else:
        losses = _distillation_loss(
            logits["train"],
            teacher_logits["train"],
            labels,
            alpha=alpha,
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


def _test_similarities(variables: Variables, seed: Seed, events: Events) -> dict[str, Any]:
    """Return the similarity of student's and teacher's kernels on test examples, as fields."""
    kernel = seed.kernel_to_compare(seed.student_trainer, variables, seed.similarity_images, events)
    teacher = seed.teacher_test_kernel
    return {
        "test_ntk_similarity": ntk_similarity(kernel, teacher),
        "test_ntk_similarity_centred": _centred_similarity(kernel, teacher),
    }


def _kernel_rows(
    arm: Supervision,
    step: int,
    variables: Variables,
    seed: Seed,
    common: Mapping[str, Any],
    events: Events,
) -> tuple[dict[str, Any], list[Row]]:
    """Return what a point's kernel says of the student, as fields, and a row a supervision."""
    kernel = seed.kernel_at_init(events) if step == 0 else seed.student_kernel(variables, events)
    named = supervisions(arm, step, seed)
    complexities = seed.complexities(kernel, [targets for _, _, targets in named])
    similarity: dict[str, Any] = dict(_NO_SIMILARITY)
    own = kernel.trace_kernel
    # Not even the (n, n) kernels may fit in memory, and a teacher in a file has none.
    if own is not None and seed.teacher_kernel is not None:
        similarity = {
            "ntk_similarity": ntk_similarity(own, seed.teacher_kernel),
            "ntk_similarity_centred": _centred_similarity(own, seed.teacher_kernel),
        }
    return similarity, [
        checked_row({
            **common, "kind": "complexity", "supervision": name,
            "supervision_temperature": temperature, **values.row(),
        })
        for (name, temperature, _), values in zip(named, complexities, strict=True)
    ]  # fmt: skip


def measure(
    arm: Supervision,
    step: int,
    variables: Variables,
    seed: Seed,
    events: Events,
    *,
    with_kernel: bool,
) -> list[Row]:
    """Return the rows of one point: the student's own, and one for each supervision."""
    config, trainer, dataset = seed.config, seed.student_trainer, seed.dataset
    final = step == trainer.total_steps
    common: dict[str, Any] = {
        **seed.row, "arm": arm.name, "temperature": arm.temperature, "step": step,
        "epoch": step // trainer.epoch_steps, "final": final,
    }  # fmt: skip
    label = f"{student_label(arm, seed)}, step {step}"
    logits = split_logits(trainer, variables, dataset, label=label)
    similarity: dict[str, Any] = dict(_NO_SIMILARITY)
    complexities: list[Row] = []
    if with_kernel:
        similarity, complexities = _kernel_rows(arm, step, variables, seed, common, events)
    reference = seed.teacher.logits[-1]
    on_train = fidelity(logits["train"], reference["train"])
    # A teacher in a file may leave the test split out.
    on_test = fidelity(logits["test"], reference["test"]) if "test" in reference else None
    student_row: dict[str, Any] = {
        **common, "kind": "student",
        "alpha": None if arm.temperature is None else weight_of_teacher(arm, seed),
        "train_loss": _train_loss(arm, logits, teacher_logits_at(arm, step, seed), seed),
        **accuracies(logits, dataset),
        "train_fidelity": float(on_train.agreement), "train_kl": float(on_train.kl),
        "test_fidelity": None if on_test is None else float(on_test.agreement),
        "test_kl": None if on_test is None else float(on_test.kl),
        **similarity,
        "margin": float(np.mean(margins(logits["train"], dataset.train.labels))),
    }  # fmt: skip
    if has_own_schedule(arm, config):
        student_row["schedule"] = list(online_steps(arm, seed))
    if final and config.measuring.similarity_size:
        student_row |= _test_similarities(variables, seed, events)
    rows = [checked_row(student_row), *complexities]
    if final and config.measuring.certify:
        rows += certificate_rows(seed, variables, common, events, arm=arm, logits=logits["sample"])
    return rows


def student_label(arm: Supervision, seed: Seed) -> str:
    """Return a student's name for messages, such as "student on online-tau4, seed 0"."""
    return f"student on {arm.slug}, seed {seed.number}"


def student_points(trainer: Trainer, config: RunConfig) -> tuple[list[int], list[int]]:
    """Return the steps at which a student is measured, and those of them with its kernel.

    The first and the last step are always among the first list.
    """
    measuring = config.measuring
    whole = evenly_spaced_epochs(trainer.epochs, measuring.points)
    others = (
        evenly_spaced_epochs(trainer.epochs, measuring.accuracy_points)
        if measuring.accuracy_points
        else []
    )
    steps = [epoch * trainer.epoch_steps for epoch in sorted({*whole, *others})]
    with_kernel = [] if measuring.kernel == "none" else whole
    return steps, [epoch * trainer.epoch_steps for epoch in with_kernel]


def student_network(arm: Supervision, seed: Seed, unit: Unit) -> Network:
    """Return the student of an arm.

    Every arm of a seed starts from the same parameters and sees the same batches, so that arms are
    compared in pairs.
    """
    return Network(
        label=student_label(arm, seed), trainer=seed.trainer_of(arm),
        supervision=provider_of(arm, seed), data=seed.data, init_key=seed.init_key,
        train_key=seed.train_key, points=student_points(seed.student_trainer, seed.config)[0],
        unit=unit,
    )  # fmt: skip


def train_student(
    arm: Supervision, seed: Seed, unit: Unit, events: Events, *, measured: bool = True
) -> list[Row]:
    """Train and measure one student, or read what an earlier call stored; return its rows.

    Args:
      arm: how the student is supervised.
      seed: what the seed's networks share; the student on labels is kept there, for later ones.
      unit: where it is stored.
      events: told of each step and each point that is measured now.
      measured: whether to measure it; otherwise it is only trained.
    """
    network, arms = student_network(arm, seed, unit), seed.config.distillation.arms
    _, with_kernel = student_points(network.trainer, seed.config)
    for step, variables in network.train(events):
        if arm == LABELS and "matched" in arms:
            seed.learned[step] = seed.student_logits(variables)
        if measured and unit.rows(step) is None:
            _look_at_peer(arm, step, network, seed)
            rows = measure(arm, step, variables, seed, events, with_kernel=step in with_kernel)
            unit.write_rows(step, rows)
            events.measured(step, rows)
    if arm == LABELS and needs_labels_student(seed.config):
        logits = split_logits(network.trainer, variables, seed.dataset, label=network.label)
        seed.labels_student = TrainedNetwork.of(network.trainer, [0], [variables], [logits])
    return unit.all_rows(network.points) or [] if measured else []


def _look_at_peer(arm: Supervision, step: int, network: Network, seed: Seed) -> None:
    """Have the logits at hand that an arm's student is shown at a point, if a peer shows them."""
    method = METHODS.get(arm.name)
    if method is None or method.targets_from != "peer":
        return
    logits = split_logits(
        network.trainer, network.auxiliary_at(step), seed.dataset,
        label=f"peer of the {network.label}",
    )  # fmt: skip
    seed.peer_logits = {(arm, step): logits}


def needs_labels_student(config: RunConfig) -> bool:
    """Return whether an arm's supervision is made from the student trained on labels."""
    return bool({"self", "matched"} & set(config.distillation.arms))
