"""The terms of the teacher-student bound, of every supervision, for the student before training."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from kdtheory.analysis import decisions, margins
from kdtheory.arms import SupervisionName
from kdtheory.bounds import margin_bound, ridge_fit, teacher_student_bound
from kdtheory.complexity import Factor, factorize
from kdtheory.errors import InputError
from kdtheory.measure.exact_kernel import ExactKernel
from kdtheory.rows import BoundRow
from kdtheory.runs.seed import Seed

#: The margins gamma that the bound holds for at once, fixed before any sample.
GAMMAS = 2.0 ** np.arange(-7, 1)

BOUNDS_NEED_A_FACTOR = (
    "the terms of the teacher-student bound need a kernel that is factorised, and this one does "
    "not fit in memory; lower --ntk-size, or leave out --bounds"
)

#: Spacing of the ball's radii, in the unit of ||h||_H.
RADIUS_UNIT = 2.0**-4

#: Probability with which each bound fails.
DELTA = 0.05


class BoundedSupervision(NamedTuple):
    """A supervision whose bound is computed."""

    name: SupervisionName
    temperature: float | None
    checkpoint_step: int | None
    """The teacher's step; None without a teacher."""
    targets: Float[np.ndarray, "n 1"]
    test_error: float | None
    """The teacher's, on the test split."""


def bounded_supervisions(seed: Seed) -> list[BoundedSupervision]:
    """Return random labels, labels, the final teacher, and each checkpoint as "online"."""
    dataset, teacher = seed.dataset, seed.teacher
    found = [
        BoundedSupervision(name, None, None, targets, None)
        for name, targets in seed.fixed_targets.items()
    ]
    last = len(teacher.steps) - 1
    named: list[tuple[SupervisionName, int]] = [("offline", last)]
    named += [("online", i) for i in range(last + 1)]
    for name, i in named:
        logits = teacher.logits[i]
        error = float(np.mean(decisions(logits["test"]) != dataset.test.labels))
        for temperature in seed.config.distillation.temperatures:
            targets = seed.targets_of(seed.measured(logits), temperature)
            found.append(BoundedSupervision(name, temperature, teacher.steps[i], targets, error))
    return found


def bound_rows(seed: Seed) -> list[BoundRow]:
    """Return the terms of the teacher-student bound, one row a supervision.

    The student is the linearised one, f = f_0 + h with f_0 the untrained network and h the ridge
    fit of Y - f_0 with the kernel at initialisation; h's norm is what counts. The ridge is the
    run's, or of `bound_ridges` the one where the bound is smallest: the bound holds for all
    functions of a ball at once, so that the ridge may be chosen on the sample.
    The supervision's hard decisions on the measuring examples are the labels of its margins, and
    their error against the data set's labels is the teacher's error; for labels it is 0, and the
    bound is the margin bound. Each bound holds with probability 0.95 by itself, at the gamma of a
    fixed grid where it is smallest.

    The targets may depend on the sample. The kernel's one dependence on it is through the pixels'
    mean and standard deviation, which are those of the training split. On training examples
    (ntk_split="train") the rows therefore say "diagnostic"; on test examples they are certificates.
    """
    kernel = seed.kernel_at_init()
    if not isinstance(kernel, ExactKernel):
        raise InputError(BOUNDS_NEED_A_FACTOR)
    supervisions = bounded_supervisions(seed)
    ridges = seed.config.measuring.bound_ridges
    if not ridges:
        return _rows_of_fits(seed, supervisions, kernel.factor)
    gram = kernel.trace_kernel
    assert gram is not None  # a network's kernel, of one output
    unit = kernel.factor.trace / kernel.factor.size
    found = [
        [
            {**row, "ridge": factor.ridge}
            for row in _rows_of_fits(seed, supervisions, factor)
        ]
        for factor in (factorize(gram, ridge=ridge * unit) for ridge in ridges)
    ]  # fmt: skip
    return [min(rows, key=lambda row: row["bound"]) for rows in zip(*found, strict=True)]


def _rows_of_fits(
    seed: Seed, supervisions: Sequence[BoundedSupervision], factor: Factor
) -> list[BoundRow]:
    """Return the bounds of the fits with one factor's ridge."""
    config = seed.config
    initial = seed.initial_logits[:, 0].astype(np.float64)
    labels = np.asarray(seed.ntk_examples.labels)
    on_train = config.measuring.ntk_split == "train"
    # One factorisation serves all targets at once.
    targets = np.stack([each.targets[:, 0] for each in supervisions]).astype(np.float64)
    fits = ridge_fit(factor, targets - initial)
    rows: list[BoundRow] = []
    for each, increments, norm in zip(
        supervisions, fits.predictions, np.atleast_1d(fits.squared_norm), strict=True
    ):
        hard = decisions(each.targets)
        student = margin_bound(
            margins(initial + increments, hard),
            squared_norm=float(norm),
            trace=factor.trace,
            gamma=GAMMAS,
            kernel_depends_on_sample=on_train,
            delta=DELTA,
            radius_unit=RADIUS_UNIT,
        )
        terms = teacher_student_bound(
            student,
            teacher_error=float(np.mean(hard != labels)),
            teacher_error_on_sample=True,
            teacher_depends_on_sample=on_train and config.teaching.teacher_data != "validation",
        ).best()
        rows.append({
            **seed.row, "kind": "bound", "step": 0, "epoch": 0, "final": False,
            "supervision": each.name, "supervision_temperature": each.temperature,
            "checkpoint_step": each.checkpoint_step, "n": len(labels),
            "teacher_error": terms.teacher_error, "teacher_test_error": each.test_error,
            "gamma": float(terms.gamma), "margin_loss": float(terms.margin_loss),
            "complexity_term": float(terms.complexity_term),
            "confidence_term": terms.confidence_term,
            "radius": terms.radius, "bound": float(terms.bound), "delta": terms.delta,
            "validity": terms.validity, "squared_norm": float(norm), "trace": float(factor.trace),
        })  # fmt: skip
    return rows
