"""Whether a training trained anything: a network at chance, or whose loss never fell, did not.

It takes what rows keep (losses, accuracies), so a stored run can be judged without its checkpoints.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from kdtheory.rows import NetworkFields, Row

#: A loss that fell by less than this part of its first value did not fall.
FALL = 1e-3

#: Standard deviations of a guess within which an accuracy is chance's.
DEVIATIONS = 3.0


def is_at_chance(accuracy: float, *, num_classes: int, examples: int) -> bool:
    """Return whether an accuracy is what guessing gives, within `DEVIATIONS` of its spread.

    A guess between C equal classes is right with p = 1 / C; over n examples its accuracy has the
    standard deviation sqrt(p (1 - p) / n).

    Args:
      accuracy: the part of the examples that is classified correctly.
      num_classes: C, at least 2.
      examples: n, at least 1.

    >>> is_at_chance(0.102, num_classes=10, examples=360)
    True
    >>> is_at_chance(0.2, num_classes=10, examples=360)
    False
    """
    chance = 1 / num_classes
    return bool(accuracy <= chance + DEVIATIONS * math.sqrt(chance * (1 - chance) / examples))


def training_health(
    losses: Sequence[float],
    train_accuracies: Sequence[float],
    test_accuracy: float | None,
    *,
    num_classes: int,
    train_examples: int,
    test_examples: int,
) -> str | None:
    """Return why a training failed, in words, or None where it trained something.

    It failed if its accuracy at the end is chance's on training and on test examples. It failed
    too if its loss never fell, unless the training accuracy rose: an online teacher's loss may rise
    while the student learns, as its targets grow sharper. A network that memorised (train accuracy
    high, test at chance) is trained, and so is one that generalises.

    Args:
      losses: the training loss at each measuring point, in order.
      train_accuracies: at the same points.
      test_accuracy: at the last one; None where there are no test examples.
      num_classes: C, at least 2.
      train_examples: of the training accuracies.
      test_examples: of the test accuracy.

    >>> settings = {"num_classes": 10, "train_examples": 1000, "test_examples": 360}
    >>> training_health([2.30, 2.30, 2.30], [0.10, 0.10, 0.10], 0.102, **settings)
    'at chance: train 10.0 %, test 10.2 % of 10 classes'
    >>> training_health([2.30, 2.35], [0.20, 0.20], 0.21, **settings)
    'its loss never fell: 2.3 at first, 2.35 at its best after'
    >>> training_health([2.30, 0.20], [0.10, 0.95], 0.93, **settings) is None
    True
    """
    at_end = train_accuracies[-1]
    if is_at_chance(at_end, num_classes=num_classes, examples=train_examples) and (
        test_accuracy is None
        or is_at_chance(test_accuracy, num_classes=num_classes, examples=test_examples)
    ):
        test = "" if test_accuracy is None else f", test {100 * test_accuracy:.1f} %"
        return f"at chance: train {100 * at_end:.1f} %{test} of {num_classes} classes"
    if len(losses) < 2:
        return None
    first, best = losses[0], min(losses[1:])
    spread = math.sqrt(max(at_end * (1 - at_end), 1 / train_examples) / train_examples)
    rose = at_end - train_accuracies[0] > DEVIATIONS * spread
    if best > first * (1 - FALL) and not rose:
        return f"its loss never fell: {first:.4g} at first, {best:.4g} at its best after"
    return None


def marked_failures(
    rows: Sequence[Row], *, num_classes: int, train_examples: int, test_examples: int
) -> list[Row]:
    """Return a run's rows; the last one of each network that ended untrained says why ("failure").

    Only networks whose last row is there ("final") are judged; a teacher by its accuracies alone.

    Args:
      rows: of a run; what an earlier call marked is judged anew.
      num_classes: of the run's task; two where it has one output.
      train_examples: of its training split.
      test_examples: of its test split.

    >>> row = {"kind": "student", "settings": "s1", "seed": 0, "arm": "labels", "temperature": None,
    ...        "train_loss": 2.3, "train_accuracy": 0.1, "test_accuracy": 0.1}
    >>> rows = [{**row, "step": 0, "final": False}, {**row, "step": 9, "final": True}]
    >>> [row.get("failure") for row in marked_failures(
    ...     rows, num_classes=10, train_examples=1000, test_examples=360)]
    [None, 'at chance: train 10.0 %, test 10.0 % of 10 classes']
    """
    networks: dict[tuple[Any, ...], list[NetworkFields]] = {}
    for row in rows:
        if row["kind"] in ("teacher", "student"):
            networks.setdefault(_network(row), []).append(cast("NetworkFields", row))
    why: dict[tuple[Any, ...], str] = {}
    for network, found in networks.items():
        points = sorted(found, key=lambda row: row["step"])
        # A teacher's first row is from after its training began: its losses say nothing of a fall.
        judged = [] if network[0] == "teacher" else points
        failure = training_health(
            [_value(row["train_loss"]) for row in judged],
            [_value(row["train_accuracy"]) for row in points],
            points[-1]["test_accuracy"],
            num_classes=num_classes,
            train_examples=train_examples,
            test_examples=test_examples,
        )
        if failure is not None:
            why[network] = failure
    marked: list[Row] = []
    for row in rows:
        fields = {name: value for name, value in row.items() if name != "failure"}
        if row["kind"] in ("teacher", "student") and row["final"] and _network(row) in why:
            fields["failure"] = why[_network(row)]
        marked.append(cast("Row", fields))
    return marked


def _network(row: Row) -> tuple[Any, ...]:
    fields = cast("Mapping[str, Any]", row)
    return tuple(fields.get(name) for name in ("kind", "settings", "seed", "arm", "temperature"))


def _value(measured: float | None) -> float:
    return math.nan if measured is None else measured
