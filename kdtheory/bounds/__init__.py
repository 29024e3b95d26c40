"""Bounds on the risk of kernel predictors, each a NamedTuple of its named terms.

A result carries its `premises`, and so says whether it is a "certificate" (they hold) or a
"diagnostic" (the kernel was made from the sample); the caller must state which by
`kernel_depends_on_sample`. docs/bounds.md sets every form beside the paper's.
"""

from kdtheory.bounds.arora import arora_bound
from kdtheory.bounds.conditional_risk import bound_conditional_risk
from kdtheory.bounds.gaussian_process import gaussian_process_bound
from kdtheory.bounds.held_out import held_out_bound
from kdtheory.bounds.kernel_sample import certified_fit, kernel_sample, unit_diagonal
from kdtheory.bounds.margin import margin_bound, multiclass_margin_bound
from kdtheory.bounds.pac_bayes import multiclass_pac_bayes_bound, pac_bayes_bound
from kdtheory.bounds.prequential import prequential_bound
from kdtheory.bounds.ridge import leave_one_out_predictions, ridge_fit, ridge_margin_bound
from kdtheory.bounds.supervision_ranking import rank_supervisions
from kdtheory.bounds.teacher_student import teacher_student_bound

__all__ = [
    "arora_bound",
    "bound_conditional_risk",
    "certified_fit",
    "gaussian_process_bound",
    "held_out_bound",
    "kernel_sample",
    "leave_one_out_predictions",
    "margin_bound",
    "multiclass_margin_bound",
    "multiclass_pac_bayes_bound",
    "pac_bayes_bound",
    "prequential_bound",
    "rank_supervisions",
    "ridge_fit",
    "ridge_margin_bound",
    "teacher_student_bound",
    "unit_diagonal",
]
