"""The error of a fixed predictor, bounded from examples that had no part in making it."""

import scipy.special

from kdtheory.arguments import check_count
from kdtheory.bounds.arguments import check_delta
from kdtheory.errors import InputError


def held_out_bound(num_errors: int, num_examples: int, *, delta: float = 0.05) -> float:
    """Return the Clopper-Pearson upper bound of an error probability, exact for the binomial.

    Args:
      num_errors: errors among the held-out examples.
      num_examples: how many held-out examples.
      delta: probability that the true error is above the bound, in (0, 1).

    Raises:
      InputError: counts out of range.

    Statement: the largest p at which at most `num_errors` errors among `num_examples` still have
    probability delta, the (1 - delta)-quantile of Beta(num_errors + 1, num_examples - num_errors).
    It serves as the teacher's error in `teacher_student_bound`, and as the yardstick for every
    other bound: a held-out set of the same size usually certifies more.

    Proof idea: (1) the predictor was fixed before these examples were drawn, so its errors are
    binomial; (2) the probability of at most k errors falls as p grows; (3) so the p at which it is
    delta is passed by the true error with probability at most delta.

    Source: Clopper and Pearson 1934; Langford 2005 for its use as a test-set bound.

    >>> round(held_out_bound(0, 100), 4) == round(1 - 0.05 ** (1 / 100), 4)
    True
    """
    check_delta(delta)
    check_count("num_errors", num_errors, least=0)
    check_count("num_examples", num_examples)
    if num_errors > num_examples:
        raise InputError(
            f"num_errors must be at most num_examples, got {num_errors} and {num_examples}"
        )
    if num_errors == num_examples:
        return 1.0
    return float(scipy.special.betaincinv(num_errors + 1, num_examples - num_errors, 1 - delta))
