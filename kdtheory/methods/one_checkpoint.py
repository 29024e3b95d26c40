"""One intermediate checkpoint: a teacher from the middle of its training, kept throughout.

Source: Wang, Yang, Huang, Song, Huang, "Efficient Knowledge Distillation from Model Checkpoints",
NeurIPS 2022: an intermediate checkpoint may teach better than the converged one. Which one is best
they choose by mutual information; the middle one is our reading of their plain rule.
"""

from collections.abc import Sequence

from kdtheory.methods.turns import Turn, steps_of


def one_checkpoint_steps(accuracies: Sequence[float], total_steps: int) -> tuple[int, ...]:
    """Return the last step of each checkpoint: the middle one teaches, and no other.

    Args:
      accuracies: a number a checkpoint; only how many there are matters here.
      total_steps: the student's updates.

    >>> one_checkpoint_steps([0.0] * 4, 100)
    (-1, 100, 100, 100)
    """
    m = len(accuracies)
    return steps_of(m, [Turn((m + 1) // 2 - 1, total_steps)])
