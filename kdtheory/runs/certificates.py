"""Certificates of kernel fits on examples that were set apart before any network was trained."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from kdtheory.arms import Supervision
from kdtheory.bounds import certified_fit, held_out_bound, kernel_sample, unit_diagonal
from kdtheory.datasets import Split, encode_labels, normalize
from kdtheory.memory import factorising_bytes
from kdtheory.ntk import gram, operator
from kdtheory.rows import Row, checked_row
from kdtheory.runs.events import Events
from kdtheory.runs.seed import Seed
from kdtheory.runs.supervision import shown, teacher_logits_at, weight_of_teacher
from kdtheory.targets.decisions import accuracy
from kdtheory.typing import Variables

#: Each bound fails with this probability.
DELTA = 0.05

#: A sample's first halves are certified too, down to this size: they cost little beside the whole.
SMALLEST = 250

#: Test examples that check, at most.
CHECKED = 2_000


class Targets(NamedTuple):
    """A supervision of the sample."""

    supervision: Supervision
    checkpoint_step: int | None
    values: Float[np.ndarray, "n d"]


def sample_sizes(size: int) -> list[int]:
    """Return the sizes of the sample's beginnings that are certified.

    >>> sample_sizes(1000), sample_sizes(60)
    ([1000, 500, 250], [60])
    """
    sizes = [size]
    while sizes[-1] // 2 >= SMALLEST:
        sizes.append(sizes[-1] // 2)
    return sizes


def certificate_bytes(size: int) -> int:
    """Return the memory that a sample's kernel, its factors and those of its half take.

    >>> certificate_bytes(1000) > 8 * 1000**2
    True
    """
    return 7 * factorising_bytes(size) + 6 * 8 * size * CHECKED


def certificates_at_init(seed: Seed, events: Events) -> list[Row]:
    """Return what is certified with the kernel of the student before training.

    Beside labels and the final teacher that is each of its earlier checkpoints, as "online".
    """
    common = {**seed.row, "step": 0, "epoch": 0, "final": False}
    return certificate_rows(seed, seed.initial_variables, common, events)


def certificate_rows(
    seed: Seed,
    variables: Variables,
    common: Mapping[str, Any],
    events: Events,
    *,
    arm: Supervision | None = None,
    logits: Float[np.ndarray, "n d"] | None = None,
) -> list[Row]:
    """Return what is certified with a student's kernel, a row for each supervision and size.

    Teacher, student and the pixels' statistics come from the training split, and the sample is
    drawn at random from the same distribution: kernel and targets are fixed beforehand. The
    kernel is the mean over outputs, with a unit diagonal, so that its ridges are fixed too. Targets
    are taken as they are, neither centred nor residual.

    Args:
      seed: data, teacher and configuration.
      variables: of the student.
      common: what every row says of the point.
      events: told of the kernel's tiles.
      arm: on which the student was trained; None for the student before training.
      logits: the trained student's on the sample, for a bound of the network itself.
    """
    sample, test = seed.dataset.sample, seed.dataset.test
    assert sample is not None
    kernel, cross = _kernels(seed, variables, sample, test, events)
    targets = _targets(seed, sample, arm)
    rows: list[Row] = []
    for n in sample_sizes(len(sample)):
        fixed = kernel_sample(
            kernel[:n, :n], sample.labels[:n], cross=cross[:, :n],
            test_labels=test.labels[: len(cross)],
        )  # fmt: skip
        network = {}
        if logits is not None:
            wrong = round(n * (1 - accuracy(logits[:n], sample.labels[:n])))
            network = {"network_held_out": held_out_bound(wrong, n, delta=DELTA)}
        for each in targets:
            fit = certified_fit(
                fixed, each.values[:n], kernel_depends_on_sample=False,
                targets_depend_on_sample=False, delta=DELTA,
            )  # fmt: skip
            terms, (name, temperature) = fit.prequential, each.supervision
            rows.append(checked_row({
                **common, "kind": "certificate", "supervision": name,
                "supervision_temperature": temperature, "checkpoint_step": each.checkpoint_step,
                "n": n, "certificate": terms.bound, "prequential_error": terms.error,
                "held_out_half": fit.held_out_half, "margin_bound": fit.margin,
                "test_error": fit.test_error, "certified_test_error": fit.certified_test_error,
                "leave_one_out_error": fit.leave_one_out, "alignment": fit.alignment,
                "num_test": len(cross), "delta": DELTA, "validity": terms.validity,
                "premises": "; ".join(terms.premises.assumed), **network,
            }))  # fmt: skip
    return rows


def _kernels(
    seed: Seed, variables: Variables, sample: Split, test: Split, events: Events
) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "m n"]]:
    """Return the student's kernel on the sample, and of test examples with it; unit diagonals."""
    measuring, apply_fn = seed.config.measuring, seed.student_trainer.module.apply
    dataset = seed.dataset
    x, checked = (
        np.asarray(normalize(split.images[:count], dataset.mean, dataset.std))
        for split, count in ((sample, len(sample)), (test, CHECKED))
    )
    settings: dict[str, Any] = {
        "outputs": "trace", "method": measuring.ntk_method, "dtype": measuring.ntk_dtype,
        "batch_size": measuring.ntk_batch_size, "on_tile": events.tile,
    }  # fmt: skip
    kernel = gram(apply_fn, variables, x, **settings)
    cross = gram(apply_fn, variables, checked, x, **settings)
    own = operator(apply_fn, variables, checked, dtype=measuring.ntk_dtype).diagonal().sum(axis=1)
    diagonal = kernel.diagonal()
    return unit_diagonal(kernel, diagonal), unit_diagonal(cross, own, diagonal)


def _targets(seed: Seed, sample: Split, arm: Supervision | None) -> list[Targets]:
    labels = sample.labels
    encoded = np.asarray(encode_labels(labels, seed.dataset.num_outputs))
    found = [Targets(Supervision("labels", None), None, encoded)]
    teacher, last = seed.teacher, seed.student_trainer.total_steps
    shown_by: list[tuple[Supervision, int | None, np.ndarray]] = []
    for temperature in seed.config.distillation.temperatures:
        offline, online = Supervision("offline", temperature), Supervision("online", temperature)
        shown_by.append((offline, teacher.steps[-1], teacher.logits[-1]["sample"]))
        if arm is None:
            shown_by += [
                (online, step, logits["sample"])
                for step, logits in zip(teacher.steps[:-1], teacher.logits[:-1], strict=True)
            ]
    if arm is not None and arm.name not in ("labels", "offline", "online"):
        own = teacher_logits_at(arm, last, seed)
        if own is not None:  # labels stand there already
            shown_by.append((arm, None, shown(arm, own["sample"])))
    for supervision, checkpoint, logits in shown_by:
        assert supervision.temperature is not None
        values = seed.targets_of(
            logits, supervision.temperature, weight_of_teacher(supervision, seed), labels
        )
        found.append(Targets(supervision, checkpoint, values))
    return found
