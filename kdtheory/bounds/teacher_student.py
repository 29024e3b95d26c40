"""A student's risk: teacher's error, student's margin with respect to it, and complexity."""

from typing import NamedTuple

import numpy as np

from kdtheory.bounds.arguments import select, select_value
from kdtheory.bounds.margin import MarginBound
from kdtheory.bounds.validity import Premises, Validity
from kdtheory.errors import InputError


class TeacherStudentBound(NamedTuple):
    """P(student errs) <= bound = teacher_error + margin_loss + complexity_term + confidence_term.

    Arrays over the grid of gamma where the student's bound has one, as in `MarginBound`.
    """

    bound: float | np.ndarray
    teacher_error: float
    """The teacher's error, on the distribution or on the sample (see `teacher_student_bound`)."""
    margin_loss: float | np.ndarray
    """Share of the sample on which the student's margin with respect to the teacher's decision is
    <= gamma.
    """
    complexity_term: float | np.ndarray
    """Those of the student's bound."""
    confidence_term: float
    """Those of the student's bound."""
    gamma: float | np.ndarray
    """Those of the student's bound."""
    radius: float
    """Those of the student's bound."""
    delta: float
    """Probability of failure, that of the teacher's error included."""
    premises: Premises
    """What the bound rests on; `validity` sums it up: "certificate" or "diagnostic"."""

    @property
    def validity(self) -> Validity:
        """Whether the premises hold: "certificate" or "diagnostic"."""
        return self.premises.validity

    def at(self, gamma: float) -> "TeacherStudentBound":
        """Return the terms at one gamma of the grid, as floats.

        Raises:
          InputError: a gamma that is not on the grid.
        """
        return select_value(self, "gamma", gamma)

    def best(self) -> "TeacherStudentBound":
        """Return the terms at the gamma of the smallest bound, as floats."""
        return select(self, int(np.argmin(self.bound))) if np.ndim(self.bound) else self


def teacher_student_bound(
    student: MarginBound,
    *,
    teacher_error: float,
    teacher_error_on_sample: bool,
    teacher_depends_on_sample: bool,
    teacher_delta: float = 0.0,
) -> TeacherStudentBound:
    """Bound a student's risk by its teacher's error and its own closeness to the teacher.

    Args:
      student: `margin_bound` or `multiclass_margin_bound` of the margins with respect to the
        teacher's hard decisions, with the norm of the fit to the teacher's predictions.
      teacher_error: the teacher's error against the true labels, in [0, 1].
      teacher_error_on_sample: whether that is the error on the student's n examples (True), or
        on the distribution, known or bounded from held-out examples (False).
      teacher_depends_on_sample: whether the teacher saw the student's examples in training.
      teacher_delta: probability that the true error exceeds `teacher_error`, where that is a
        bound from held-out examples.

    Returns:
      A `TeacherStudentBound`.

    Raises:
      InputError: an error outside [0, 1], delta of the two together not below 1.

    Two statements, each with probability >= 1 - delta:

    - error on the sample: P(Y f <= 0) <= (1/n) #{teacher wrong} + (1/n) #{margin of f with respect
      to the teacher <= gamma} + complexity + confidence. It is the margin bound for the true
      labels, whose margin loss is at most the sum of the first two. It holds for a teacher that was
      trained on these very examples.
    - error on the distribution: P(Y f <= 0) <= P(Y g <= 0) + P(f g <= 0), and the margin bound
      for the second term, which takes the teacher's decisions for labels. Only a teacher g that
      was trained on other examples makes these labels a fixed function; one that memorised the
      sample agrees with a student there and nowhere else. For such a teacher the result is a
      diagnostic.

    Proof idea: (1) a student that errs either agrees with a teacher that errs or disagrees with the
    teacher; (2) on the sample this bounds the margin loss of the true labels, and the margin bound
    adds its two terms; (3) on the distribution it bounds the risk, and the margin bound is applied
    to the disagreement, whose labels the teacher then must not have fitted to the sample.

    Source: paper (teacher's accuracy, student's margin with respect to the teacher,
    complexity of the teacher's predictions). The first form is ours: it keeps the three parts and
    needs no assumption on the teacher.

    >>> from kdtheory.bounds import margin_bound
    >>> student = margin_bound(np.full(10_000, 2.0), squared_norm=4.0, trace=10_000.0, gamma=1.0,
    ...                        kernel_depends_on_sample=False)
    >>> terms = teacher_student_bound(student, teacher_error=0.1, teacher_error_on_sample=True,
    ...                               teacher_depends_on_sample=True)
    >>> terms.teacher_error, terms.margin_loss, terms.complexity_term, round(terms.bound, 4)
    (0.1, 0.0, 0.04, 0.1897)
    """
    if not 0 <= teacher_error <= 1:
        raise InputError(f"teacher_error must be in [0, 1], got {teacher_error}")
    delta = student.delta + teacher_delta
    if teacher_delta < 0 or delta >= 1:
        raise InputError(
            f"teacher_delta must be >= 0 and below 1 - {student.delta}, got {teacher_delta}"
        )
    premises = student.premises
    if teacher_depends_on_sample and not teacher_error_on_sample:
        premises = premises.breaking("the teacher was trained on other examples")
    return TeacherStudentBound(
        bound=teacher_error + student.bound,
        teacher_error=float(teacher_error),
        margin_loss=student.margin_loss,
        complexity_term=student.complexity_term,
        confidence_term=student.confidence_term,
        gamma=student.gamma,
        radius=student.radius,
        delta=delta,
        premises=premises,
    )
