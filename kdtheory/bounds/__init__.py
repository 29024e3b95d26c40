"""Bounds on the risk of kernel predictors, each a NamedTuple of its named terms.

A result says whether it is a "certificate" (its premises hold) or a "diagnostic" (the kernel was
made from the sample); the caller must state which by `kernel_depends_on_sample`.
"""

from kdtheory.bounds.arora import AroraBound, arora_bound
from kdtheory.bounds.held_out import held_out_bound
from kdtheory.bounds.margin import MarginBound, margin_bound, multiclass_margin_bound
from kdtheory.bounds.pac_bayes import PacBayesBound, pac_bayes_bound
from kdtheory.bounds.ridge import RidgeFit, leave_one_out_predictions, ridge_fit
from kdtheory.bounds.teacher_student import TeacherStudentBound, teacher_student_bound

__all__ = [
    "AroraBound",
    "MarginBound",
    "PacBayesBound",
    "RidgeFit",
    "TeacherStudentBound",
    "arora_bound",
    "held_out_bound",
    "leave_one_out_predictions",
    "margin_bound",
    "multiclass_margin_bound",
    "pac_bayes_bound",
    "ridge_fit",
    "teacher_student_bound",
]
