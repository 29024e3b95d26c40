"""The arms: the kinds of supervision that a student is trained on, and their names."""

import re
from typing import Annotated, NamedTuple, TypeAlias

from kdtheory.errors import OWN_CODE, InputError
from kdtheory.row_values import Allowed

#: Name of a kind of supervision that a student is trained on: one of `ARMS`.
ArmName: TypeAlias = str
#: Name of a kind of supervision whose complexity is measured: an arm's, or "random_labels".
SupervisionName: TypeAlias = str

#: Kinds of supervision that a student is trained on, in reading order; `register_arm` adds one.
ARMS: list[ArmName] = [
    "labels", "offline", "online", "matched", "self",
    "dkd", "dist", "lskd", "rco", "one_checkpoint", "two_checkpoints",
    "dml", "crd", "sskd", "css",
]  # fmt: skip
_CONTROL = "random_labels"


def register_arm(name: ArmName) -> None:
    """Make a kind of supervision known, after all others.

    Raises:
      InputError: a name that is taken, or that cannot stand in paths and tables.

    >>> register_arm("labels")
    Traceback (most recent call last):
    kdtheory.errors.InputError: an arm named 'labels' exists already
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise InputError(
            "an arm is named by lower-case letters, digits and _, a letter first and at most 40, "
            f"got {name!r:.80}"
        )
    if name in (*ARMS, _CONTROL):
        raise InputError(f"an arm named {name!r} exists already")
    ARMS.append(name)


class Supervision(NamedTuple):
    """One kind of targets: a student is trained on it (an arm), or its complexity is measured."""

    name: SupervisionName
    temperature: float | None
    """tau of the teacher's softmax; None where there is none."""

    @property
    def label(self) -> str:
        """The supervision in words.

        >>> Supervision("online", 4.0).label, Supervision("random_labels", None).label
        ('online, τ = 4', 'random labels')
        """
        name = self.name.replace("_", " ")
        return name if self.temperature is None else f"{name}, τ = {self.temperature:g}"

    @classmethod
    def of_label(cls, label: str) -> "Supervision | None":
        """Return the supervision that a label is of, or None.

        >>> Supervision.of_label("online, τ = 4"), Supervision.of_label("mine")
        (Supervision(name='online', temperature=4.0), None)
        """
        words, _, number = label.partition(", τ = ")
        name = words.replace(" ", "_")
        try:
            found = cls(name, float(number) if number else None)
        except ValueError:
            return None
        return found if name in (*ARMS, _CONTROL) and found.label == label else None

    @property
    def slug(self) -> str:
        """The supervision in paths and messages.

        >>> Supervision("online", 4.0).slug, Supervision("labels", None).slug
        ('online-tau4', 'labels')
        """
        if self.temperature is None:
            return self.name
        short = f"{self.temperature:g}"
        # Two temperatures never share a folder, however close they are.
        exact = short if float(short) == self.temperature else repr(self.temperature)
        return f"{self.name}-tau{exact}"

    @property
    def order(self) -> tuple[int, float]:
        """Sort key: the control, then the order of `ARMS`; each kind by rising temperature."""
        rank = -1 if self.name == _CONTROL else ARMS.index(self.name)
        return rank, -1.0 if self.temperature is None else float(self.temperature)


LABELS, RANDOM_LABELS = Supervision("labels", None), Supervision(_CONTROL, None)


_LISTED = ", ".join(ARMS) + f"; {OWN_CODE}"
Arm = Annotated[ArmName, Allowed(f"one of {_LISTED}", lambda v: v in ARMS)]
Supervisor = Annotated[
    SupervisionName,
    Allowed(f"one of {_CONTROL}, {_LISTED}", lambda v: v == _CONTROL or v in ARMS),
]
