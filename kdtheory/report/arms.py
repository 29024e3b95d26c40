"""What the rows are about: run groups, the arms inside them, and how each is named."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from kdtheory.errors import InputError
from kdtheory.report.rows import GROUP_FIELDS, SUPERVISIONS, Row


class RunGroup(NamedTuple):
    """The runs that may be averaged over seeds: one data set, task, teacher, student and settings.

    - `settings`: the run's short hash of everything a measurement depends on except seed and arm.
    - `title`: the group in words, for headings; it names the settings only where another group of
      the same rows would have the same title.
    """

    dataset: str
    task: str
    teacher: str
    student: str
    settings: str
    title: str


class Supervision(NamedTuple):
    """One kind of targets: a student is trained on it (an arm), or its complexity is measured.

    - `name`: one of `kdtheory.report.rows.SUPERVISIONS`.
    - `temperature`: of the teacher's softmax; None where there is none.
    """

    name: str
    temperature: float | int | None

    @property
    def label(self) -> str:
        """The supervision in words.

        >>> Supervision("online", 4.0).label, Supervision("random_labels", None).label
        ('online, τ = 4', 'random labels')
        """
        name = self.name.replace("_", " ")
        return name if self.temperature is None else f"{name}, τ = {self.temperature:g}"

    @property
    def order(self) -> tuple[int, float]:
        """Sort key: the order of `SUPERVISIONS`; each kind by rising temperature."""
        return SUPERVISIONS.index(self.name), -1.0 if self.temperature is None else float(
            self.temperature
        )


def group_rows(rows: Sequence[Row]) -> dict[RunGroup, list[Row]]:
    """Return the rows of each run group, in the order in which the groups first appear.

    Example:
        >>> ids = dict(dataset="digits", task="ten", teacher="resnet8", student="lenet5x1")
        >>> [g.title for g in group_rows([dict(**ids, settings="3f2a90bc")])]
        ['digits, ten: resnet8 → lenet5x1']
        >>> both = [dict(**ids, settings="3f2a90bc"), dict(**ids, settings="04d1e6f7")]
        >>> [g.title for g in group_rows(both)][1]
        'digits, ten: resnet8 → lenet5x1 (settings 04d1e6f7)'
    """
    groups: dict[RunGroup, list[Row]] = {}
    for row in rows:
        title = f"{row['dataset']}, {row['task']}: {row['teacher']} → {row['student']}"
        group = RunGroup(**{field: row[field] for field in GROUP_FIELDS}, title=title)
        groups.setdefault(group, []).append(row)
    shared = Counter(group.title for group in groups)
    return {
        group
        if shared[group.title] == 1
        else group._replace(title=f"{group.title} (settings {group.settings})"): members
        for group, members in groups.items()
    }


def arm_of(row: Row) -> Supervision:
    """Return the supervision on which the student of a row is trained."""
    return Supervision(row["arm"], row["temperature"])


def supervision_of(row: Row) -> Supervision:
    """Return the supervision whose complexity a row holds."""
    return Supervision(row["supervision"], row["supervision_temperature"])


def arms_in(rows: Sequence[Row]) -> list[Supervision]:
    """Return the arms of one run group, in reading order.

    Raises:
        InputError: one arm was trained with several mixtures alpha. Complexity rows do not hold
            alpha, so such runs could not be told apart.
    """
    alphas: dict[Supervision, set[float | None]] = {}
    for row in rows:
        if row["kind"] in ("student", "complexity"):
            seen = alphas.setdefault(arm_of(row), set())
            if row["kind"] == "student":
                seen.add(row["alpha"])
    for arm, seen in alphas.items():
        if len(seen) > 1:
            listed = ", ".join(sorted(map(str, seen)))
            raise InputError(
                f"arm {arm.label!r} has rows of several alphas ({listed}) in one run group;"
                " give runs of one alpha"
            )
    return sorted(alphas, key=lambda arm: arm.order)
