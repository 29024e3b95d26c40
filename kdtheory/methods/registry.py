"""The methods by name: what each shows the student, what it needs, where it is published."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kdtheory.errors import InputError
from kdtheory.methods.dist import dist
from kdtheory.methods.dkd import dkd
from kdtheory.methods.logit_standardisation import logit_standardisation, standardise
from kdtheory.methods.one_checkpoint import one_checkpoint_steps
from kdtheory.methods.rco import rco_steps
from kdtheory.methods.taught import Taught
from kdtheory.methods.two_checkpoints import two_checkpoints_steps
from kdtheory.rows import register_arm
from kdtheory.targets.providers import TeacherLogits
from kdtheory.typing import ArrayLike

#: (a provider with the last checkpoint's logits, the student's updates) -> what trains the student.
LogitMethod = Callable[[TeacherLogits, int], Taught]

#: (each checkpoint's training accuracy less chance, the student's updates) -> the last step at
#: which each checkpoint teaches.
Route = Callable[[Sequence[float], int], tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of the literature; it has either a loss on the last checkpoint's logits or a route.

    One with a loss stands at its paper's temperature; one with a route at every temperature of a
    run, and trains by the plain distillation loss.
    """

    title: str
    source: str
    shows: str
    """What the student sees as targets, in words."""
    needs: str
    """What it needs of a pair and a task, in words."""
    loss: LogitMethod | None = None
    temperature: float | None = None
    """tau of the loss, and of the targets that are measured."""
    shown: Callable[[ArrayLike], ArrayLike] = lambda logits: logits
    """What of the teacher's logits (n, d) the student sees, in the same shape."""
    route: Route | None = None
    min_outputs: int = 1
    min_checkpoints: int = 1


def _dkd(teacher: TeacherLogits, total_steps: int) -> Taught:
    # The paper's warm-up: 20 of 240 epochs.
    return dkd(teacher, warmup_steps=max(total_steps // 12, 1))


#: By the name of the arm; `register_method` adds one.
METHODS: dict[str, Method] = {
    "dkd": Method(
        title="decoupled distillation: the right class and the others apart",
        source="Zhao et al., CVPR 2022",
        shows="softmax(g / 4) of the last checkpoint",
        needs="a teacher",
        loss=_dkd,
        temperature=4.0,
    ),
    "dist": Method(
        title="correlations within an example and within a class",
        source="Huang et al., NeurIPS 2022",
        shows="softmax(g / 4) of the last checkpoint",
        needs="a teacher",
        loss=lambda teacher, _: dist(teacher),
        temperature=4.0,
    ),
    "lskd": Method(
        title="standardised logits",
        source="Sun et al., CVPR 2024",
        shows="softmax(Z(g) / 2) of the last checkpoint, Z(g) of mean 0 and deviation 1",
        needs="a teacher; at least 3 classes",
        loss=lambda teacher, _: logit_standardisation(teacher),
        temperature=2.0,
        shown=standardise,
        min_outputs=3,
    ),
    "rco": Method(
        title="four checkpoints in turn",
        source="Jin et al., ICCV 2019",
        shows="softmax(g / tau) of the checkpoint whose turn it is",
        needs="a teacher with at least 2 checkpoints",
        route=rco_steps,
        min_checkpoints=2,
    ),
    "one_checkpoint": Method(
        title="the middle checkpoint, kept",
        source="Wang et al., NeurIPS 2022",
        shows="softmax(g / tau) of the middle checkpoint",
        needs="a teacher with at least 2 checkpoints",
        route=one_checkpoint_steps,
        min_checkpoints=2,
    ),
    "two_checkpoints": Method(
        title="a checkpoint of the phase of fast change, then the last",
        source="Panigrahi et al., ICLR 2025",
        shows="softmax(g / tau) of the first, then of the second",
        needs="a teacher with at least 2 checkpoints",
        route=two_checkpoints_steps,
        min_checkpoints=2,
    ),
}


def register_method(name: str, method: Method) -> Method:
    """Make a method of your own an arm of this name; return it.

    Raises:
      InputError: a name that is taken or cannot be an arm's, or a method that has not exactly one
        of a loss, with a temperature, and a route.

    >>> register_method("dkd", METHODS["dkd"])
    Traceback (most recent call last):
    kdtheory.errors.InputError: an arm named 'dkd' exists already
    """
    if (method.loss is None) == (method.route is None):
        raise InputError(f"method {name!r} needs a loss or a route, and not both")
    if (method.loss is None) != (method.temperature is None):
        raise InputError(
            f"method {name!r}: a loss stands at a temperature of its own, a route at those of a run"
        )
    register_arm(name)
    METHODS[name] = method
    return method


def check_checkpoints(names: Sequence[str], checkpoints: int, source: str) -> None:
    """Raise InputError for arms that need more checkpoints of a teacher than there are.

    >>> check_checkpoints(["labels", "online"], 1, "teacher.npy")
    Traceback (most recent call last):
    kdtheory.errors.InputError: teacher.npy has one checkpoint, of which online would be the same...
    """
    same = {"online", "matched"} & set(names)
    if checkpoints == 1 and same:
        others = [name for name in names if name not in same] or ["offline"]
        raise InputError(
            f"{source} has one checkpoint, of which {' and '.join(sorted(same))} would be the same "
            f"as offline: --arms {' '.join(others)}, or give several checkpoints"
        )
    for name in names:
        if name in METHODS and checkpoints < METHODS[name].min_checkpoints:
            raise InputError(f"arm {name} needs {METHODS[name].needs}; {source} has {checkpoints}")


def check_suitable(names: Sequence[str], *, num_outputs: int, checkpoints: int) -> None:
    """Raise InputError if a method among these arms does not fit the task or the teacher.

    >>> check_suitable(["labels", "lskd"], num_outputs=1, checkpoints=4)
    Traceback (most recent call last):
    kdtheory.errors.InputError: arm lskd needs a teacher; at least 3 classes; the task has 2 classes
    """
    for name in names:
        method = METHODS.get(name)
        if method is None:
            continue
        if num_outputs < method.min_outputs:
            raise InputError(
                f"arm {name} needs {method.needs}; the task has {max(num_outputs, 2)} classes"
            )
        if checkpoints < method.min_checkpoints:
            raise InputError(
                f"arm {name} needs {method.needs}; it has {checkpoints} (raise "
                "--teacher-checkpoints)"
            )
