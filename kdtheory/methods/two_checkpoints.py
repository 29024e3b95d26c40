"""Two checkpoints: one from the phase in which the teacher changes fast, then the last.

Source: Panigrahi, Liu, Malladi, Risteski, Goel, "Progressive distillation induces an implicit
curriculum", ICLR 2025 (arXiv 2410.05464), where two checkpoints give what many give if the first
lies in the teacher's phase transition. How "in the transition" is read here is ours: the first
checkpoint that has gained at least half of the training accuracy which the last one has gained over
chance; each teaches for half of the student's updates.
"""

from collections.abc import Sequence

from kdtheory.methods.turns import Turn, steps_of


def two_checkpoints_steps(accuracies: Sequence[float], total_steps: int) -> tuple[int, ...]:
    """Return the last step of each checkpoint.

    Args:
      accuracies: of each checkpoint on the training split, less that of chance.
      total_steps: the student's updates.

    >>> two_checkpoints_steps([0.1, 0.5, 0.8, 0.9], 100)
    (-1, 50, 50, 100)
    """
    m = len(accuracies)
    half = accuracies[-1] / 2
    changing = next((i for i, accuracy in enumerate(accuracies) if accuracy >= half), m - 1)
    turns = [Turn(m - 1, total_steps)]
    if changing < m - 1:
        turns.insert(0, Turn(changing, total_steps // 2))
    return steps_of(m, turns)
