"""What a run measures: a row a measurement.

Whatever is reported is made from rows alone, so that a table can be made again, or made out of
several runs, without the runs' checkpoints.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import (
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    TypeAlias,
    TypedDict,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from kdtheory.arms import Arm, Supervision, Supervisor
from kdtheory.errors import InputError, unknown_name
from kdtheory.files import json_text
from kdtheory.row_values import (
    Allowed,
    AnyNumber,
    Count,
    Finite,
    Flag,
    Number,
    Position,
    Positive,
    Rate,
    Some,
    Steps,
    Text,
)


class GroupFields(TypedDict):
    """The runs that may be averaged over seeds: rows that differ in one of these never are."""

    dataset: Text
    task: Text
    teacher: Text
    student: Text
    settings: Text
    """A short hash of all that a measurement depends on except seed and arm."""


class SeedFields(GroupFields):
    """What all rows of a run's seed share."""

    seed: Count
    assistant: NotRequired[Text]
    """Of a run with a teacher assistant: its model. Its own teacher's accuracies stand beside."""
    teacher_train_accuracy: NotRequired[Rate]
    teacher_validation_accuracy: NotRequired[Rate]
    teacher_test_accuracy: NotRequired[Rate]


class PointFields(SeedFields):
    """One point of a training."""

    step: Count
    epoch: Position
    final: Flag
    """Whether it is the training's last."""


class Accuracies(TypedDict):
    """How well a network does on the splits and labels of the students."""

    train_accuracy: Rate
    validation_accuracy: Rate
    test_accuracy: Rate


class NetworkFields(PointFields, Accuracies):
    """A network at a point of its training."""

    train_loss: Number
    """Mean of its own loss, in nats."""
    failure: NotRequired[Text]
    """At the end of a training that left it untrained: how that shows, in words."""


class TeacherRow(NetworkFields):
    """A teacher at a checkpoint."""

    kind: Literal["teacher"]


class StudentRow(NetworkFields):
    """A student at a measuring point."""

    kind: Literal["student"]
    arm: Arm
    temperature: Number
    alpha: Number
    train_fidelity: Rate
    """Share of the examples on which it and the final teacher decide alike."""
    test_fidelity: Rate
    train_kl: Number
    test_kl: Number
    ntk_similarity: Number
    """Cosine between its kernel and the final teacher's, on the measuring examples."""
    ntk_similarity_centred: NotRequired[Number]
    test_ntk_similarity: NotRequired[Number]
    test_ntk_similarity_centred: NotRequired[Number]
    margin: Number
    """Mean margin of its logits with respect to the training labels."""
    schedule: NotRequired[Steps]
    """Where a rule of its own decides when each checkpoint teaches: the student's last step."""
    training_seconds: NotRequired[Number]
    """What its training took: no run stores it; a study reads it off the student's folder."""


class ComplexityRow(PointFields):
    """The complexity of one supervision on one student at a measuring point."""

    kind: Literal["complexity"]
    arm: Arm
    """The student's own."""
    temperature: Number
    supervision: Supervisor
    """The targets whose complexity it is."""
    supervision_temperature: Number
    complexity: Number
    """Y^T (K + ridge I)^-1 Y."""
    adjusted_complexity: Number
    """(1/n) sqrt(complexity * Tr K)."""
    margin: Number
    """Mean margin of the targets with respect to the labels."""
    trace: Number
    ridge: Number
    condition: AnyNumber
    residual: AnyNumber
    target_rms: NotRequired[Number]
    """Root mean square of the targets, to which complexity scales."""
    complexity_lower: NotRequired[Number]
    """Where only an interval is known, the two complexities are null and these are its ends."""
    complexity_upper: NotRequired[Number]
    adjusted_complexity_lower: NotRequired[Number]
    adjusted_complexity_upper: NotRequired[Number]


class BoundRow(PointFields):
    """The teacher-student bound's terms for one supervision.

    The kernel is the student's before training, the same for every arm: such a row has no arm.
    """

    kind: Literal["bound"]
    supervision: Supervisor
    supervision_temperature: Number
    checkpoint_step: NotRequired[Number]
    """The teacher's step; null without a teacher."""
    n: Some
    teacher_error: Rate
    teacher_test_error: Rate
    gamma: Finite
    margin_loss: Finite
    complexity_term: Finite
    confidence_term: Finite
    radius: Finite
    bound: Finite
    delta: Finite
    validity: Text
    squared_norm: Finite
    """||h||_H^2 of the ridge fit h of the targets minus the untrained student."""
    trace: Finite
    ridge: NotRequired[Finite]
    """Of that fit, in the kernel's unit, where it was chosen among several."""


class TuningRow(PointFields):
    """One learning rate that was tried for an arm, and whether it is the arm's."""

    kind: Literal["tuning"]
    arm: Arm
    temperature: Number
    learning_rate: Positive
    """The peak of the schedule."""
    validation_accuracy: Rate
    """After the last epoch; null of a training that diverged."""
    chosen: Flag
    diverged: NotRequired[Text]
    """How, where it has no accuracy."""


class CertificateRow(PointFields):
    """What is certified of the kernel fits to one supervision, on the first n examples set apart.

    The kernel is that of the student of an arm, trained on other examples; without an arm that of
    the student before training, which is the same for every arm.
    """

    kind: Literal["certificate"]
    arm: NotRequired[Arm]
    temperature: NotRequired[Number]
    supervision: Supervisor
    supervision_temperature: Number
    checkpoint_step: NotRequired[Number]
    """The teacher's step; null without a teacher."""
    n: Some
    certificate: Rate
    """Of the fits to growing parts of the sample."""
    prequential_error: Rate
    held_out_half: Rate
    """The yardstick: Clopper and Pearson's bound of the fit to one half, from the other."""
    margin_bound: Finite
    test_error: Rate
    """Of the fit to all n examples, on the test split."""
    certified_test_error: Rate
    """Of the predictors that are certified, on the test split."""
    num_test: Count
    """Test examples of these two."""
    network_held_out: NotRequired[Rate]
    """Clopper and Pearson's bound of the trained network itself, from the n examples."""
    leave_one_out_error: NotRequired[Rate]
    """Share of the n examples whose label the fit to all others misses."""
    alignment: NotRequired[Number]
    """Centred alignment of the kernel and the targets; null where either is constant."""
    delta: Finite
    """Probability with which each of the bounds fails."""
    validity: Text
    premises: Text
    """What the certificate rests on."""


#: One measurement.
Row: TypeAlias = TeacherRow | StudentRow | ComplexityRow | BoundRow | TuningRow | CertificateRow

#: The fields that name a run group.
GROUP_FIELDS: tuple[str, ...] = tuple(GroupFields.__annotations__)


class Field(NamedTuple):
    """A field of a kind of row."""

    allowed: Allowed
    required: bool


def _fields(kind: type) -> dict[str, Field]:
    fields = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        required = get_origin(hint) is not NotRequired
        annotated = hint if required else get_args(hint)[0]
        if name != "kind":
            fields[name] = Field(annotated.__metadata__[0], required)
    return fields


#: kind of row -> its fields, the kind aside.
FIELDS: Mapping[str, Mapping[str, Field]] = {
    "teacher": _fields(TeacherRow),
    "student": _fields(StudentRow),
    "complexity": _fields(ComplexityRow),
    "bound": _fields(BoundRow),
    "tuning": _fields(TuningRow),
    "certificate": _fields(CertificateRow),
}


def checked_row(row: Any) -> Row:
    """Return a row whose every field is one that its kind has, with a value that is allowed there.

    Raises:
      InputError: naming the first field that is missing or wrong, and what is allowed. Fields
        that its kind does not have are left alone.

    >>> checked_row({"kind": "student", "dataset": 3})
    Traceback (most recent call last):
    kdtheory.errors.InputError: field 'dataset' is 3; allowed: a text
    """
    if not isinstance(row, Mapping):
        raise InputError("not a JSON object")
    kind = row.get("kind")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise InputError(f"field 'kind' is {kind!r}; allowed: {', '.join(FIELDS)}")
    for name, field in FIELDS[kind].items():
        if name not in row:
            if field.required:
                raise InputError(f"a {kind} row without the field {name!r}")
        elif not field.allowed.holds(row[name]):
            raise InputError(f"field {name!r} is {row[name]!r}; allowed: {field.allowed.words}")
    return cast("Row", row)


def number(row: Row, name: str) -> float | None:
    """Return a numeric field by a name that is chosen at run time; None where it is not there.

    Raises:
      InputError: no kind of row has such a field, nor has this one.

    >>> number(cast("Row", {"kind": "teacher", "test_accuracy": 1}), "test_accuracy")
    1.0
    >>> number(cast("Row", {"kind": "teacher"}), "test_acuracy")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    kdtheory.errors.InputError: unknown column 'test_acuracy'; did you mean 'test_accuracy'? ...
    """
    if name not in row and not any(name in fields for fields in FIELDS.values()):
        raise unknown_name("column", name, FIELDS[row["kind"]])
    value = cast("Mapping[str, Any]", row).get(name)
    return None if value is None else float(value)


def teachers(rows: Iterable[Row]) -> list[TeacherRow]:
    """Return the rows of teachers."""
    return [row for row in rows if row["kind"] == "teacher"]


def students(rows: Iterable[Row], arm: Supervision | None = None) -> list[StudentRow]:
    """Return the rows of students, of one arm if it is given."""
    found = [row for row in rows if row["kind"] == "student"]
    return [row for row in found if arm is None or arm_of(row) == arm]


def complexities(rows: Iterable[Row], arm: Supervision | None = None) -> list[ComplexityRow]:
    """Return the rows of complexities, on the students of one arm if it is given."""
    found = [row for row in rows if row["kind"] == "complexity"]
    return [row for row in found if arm is None or arm_of(row) == arm]


def bounds(rows: Iterable[Row]) -> list[BoundRow]:
    """Return the rows of bounds."""
    return [row for row in rows if row["kind"] == "bound"]


def tunings(rows: Iterable[Row]) -> list[TuningRow]:
    """Return the rows of learning rates that were tried."""
    return [row for row in rows if row["kind"] == "tuning"]


def certificates(rows: Iterable[Row]) -> list[CertificateRow]:
    """Return the rows of certificates."""
    return [row for row in rows if row["kind"] == "certificate"]


def arm_of(row: StudentRow | ComplexityRow | TuningRow) -> Supervision:
    """Return the supervision on which the student of a row is trained."""
    return Supervision(row["arm"], row["temperature"])


def supervision_of(row: ComplexityRow | BoundRow | CertificateRow) -> Supervision:
    """Return the supervision whose complexity, bound or certificate a row holds."""
    return Supervision(row["supervision"], row["supervision_temperature"])


def json_lines(rows: Sequence[Row]) -> str:
    """Return rows as JSON lines: the content of `rows.jsonl`."""
    return "".join(json_text(row) + "\n" for row in rows)
