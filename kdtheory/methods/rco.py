"""Route constrained optimisation (RCO): the student follows a few anchors of the teacher's route.

Source: Jin, Peng, Wu, Liu, Liu, Liang, Yan, Hu, "Knowledge Distillation via Route Constrained
Optimization", ICCV 2019, with the anchors at equal intervals of epochs (EEI), four of them.
"""

from collections.abc import Sequence

from kdtheory.methods.turns import Turn, steps_of

#: Of the paper's settings for CIFAR-100.
ANCHORS = 4


def rco_steps(accuracies: Sequence[float], total_steps: int) -> tuple[int, ...]:
    """Return the last step of each checkpoint: four evenly spaced ones teach for equal times.

    Args:
      accuracies: a number a checkpoint; only how many there are matters here.
      total_steps: the student's updates.

    >>> rco_steps([0.0] * 8, 400)
    (-1, 100, 100, 200, 200, 300, 300, 400)
    """
    m = len(accuracies)
    anchors = min(ANCHORS, m)
    turns = [
        Turn(round(i * m / anchors) - 1, round(i * total_steps / anchors))
        for i in range(1, anchors + 1)
    ]
    return steps_of(m, turns)
