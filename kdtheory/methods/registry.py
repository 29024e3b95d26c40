"""The methods by name: what each shows the student, what it needs, where it is published."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import flax.linen as nn

from kdtheory.arms import register_arm
from kdtheory.errors import InputError
from kdtheory.methods.crd import check_crd, crd
from kdtheory.methods.css import css, css_network
from kdtheory.methods.css import logit_loss as css_logit_loss
from kdtheory.methods.dist import dist
from kdtheory.methods.dkd import dkd
from kdtheory.methods.dml import dml, dml_loss
from kdtheory.methods.logit_standardisation import logit_standardisation, standardise
from kdtheory.methods.one_checkpoint import one_checkpoint_steps
from kdtheory.methods.pair import Networks, Pair
from kdtheory.methods.rco import rco_steps
from kdtheory.methods.sskd import check_sskd, sskd, sskd_stage
from kdtheory.methods.sskd import logit_loss as sskd_logit_loss
from kdtheory.methods.taught import Taught
from kdtheory.methods.two_checkpoints import two_checkpoints_steps
from kdtheory.targets.providers import TeacherLogits
from kdtheory.targets.stateful import StatefulMethod
from kdtheory.training import Trainer
from kdtheory.typing import ArrayLike

#: (a provider with the last checkpoint's logits, the student's updates) -> what trains the student.
LogitMethod = Callable[[TeacherLogits, int], Taught]

#: (each checkpoint's training accuracy less chance, the student's updates) -> the last step at
#: which each checkpoint teaches.
Route = Callable[[Sequence[float], int], tuple[int, ...]]


#: Who gives what a student is shown as targets: the teacher's last checkpoint, a second student
#: whose variables are the method's own, or the labels (a method that shows it no other targets).
Shower = Literal["teacher", "peer", "labels"]


def _any_pair(networks: Networks) -> None:
    """Pass."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of the literature: a loss on the last checkpoint's logits, a route, or a training.

    One with a loss stands at its paper's temperature; one with a route at every temperature of a
    run, and trains by the plain distillation loss. A training has variables of its own beside the
    student's.
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
    training: Callable[[Pair], StatefulMethod] | None = None
    targets_from: Shower = "teacher"
    """Of a training: whose logits the student is shown."""
    logit_loss: Callable[[ArrayLike, ArrayLike, ArrayLike], ArrayLike] | None = None
    """Of a training with such logits: the terms of its loss that are a function of the student's
    logits (n, d), those and the labels (n,) alone: what a row's train_loss is. (n,)."""
    check: Callable[[Networks], object] = _any_pair
    """Raises InputError for networks that it cannot train, before anything is trained."""
    network: Callable[[Networks], nn.Module] | None = None
    """Of a training whose student is another network: makes it of the run's student."""
    stage: Callable[[Pair, Trainer], tuple[Trainer, StatefulMethod]] | None = None
    """Of a training before the student's: (the pair, the student's trainer) -> what trains, and on
    what. What it leaves is the pair's `stage`."""
    min_outputs: int = 1
    min_checkpoints: int = 1

    @property
    def own_loss(self) -> bool:
        """Whether it has a loss of its own, at its own temperature."""
        return self.route is None


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
    "dml": Method(
        title="two students that teach each other",
        source="Zhang et al., CVPR 2018",
        shows="softmax(g) of the peer, as it is at that step",
        needs="nothing but the student; no --mixup",
        training=lambda _: dml(),
        temperature=1.0,
        targets_from="peer",
        logit_loss=dml_loss,
    ),
    "crd": Method(
        title="features that name the example they are of",
        source="Tian et al., ICLR 2020",
        shows="the labels; of the teacher its features, which are no targets",
        needs="a teacher's network; a linear last layer of both; no --mixup",
        training=crd,
        targets_from="labels",
        check=check_crd,
    ),
    "sskd": Method(
        title="which turned image is of which upright one",
        source="Xu et al., ECCV 2020",
        shows="softmax(g / 4) of the last checkpoint; of turned images too",
        needs="a teacher's network; a linear last layer of both; square images; no --mixup",
        training=sskd,
        stage=sskd_stage,
        temperature=4.0,
        logit_loss=sskd_logit_loss,
        check=check_sskd,
    ),
    "css": Method(
        title="two networks of branches, each blind to a corner",
        source="Fan et al., arXiv 2203.11660",
        shows="softmax(g / 3) of the peer, as it is at that step",
        needs="a convolutional student with num_outputs; no --mixup, no --student-variables",
        training=lambda _: css(),
        network=css_network,
        temperature=3.0,
        targets_from="peer",
        logit_loss=css_logit_loss,
        check=css_network,
    ),
}


def register_method(name: str, method: Method) -> Method:
    """Make a method of your own an arm of this name; return it.

    Raises:
      InputError: a name that is taken or cannot be an arm's, or a method that has not exactly one
        of a loss, with a temperature, a training, and a route.

    >>> register_method("dkd", METHODS["dkd"])
    Traceback (most recent call last):
    kdtheory.errors.InputError: an arm named 'dkd' exists already
    """
    if sum(kind is not None for kind in (method.loss, method.route, method.training)) != 1:
        raise InputError(f"method {name!r} needs a loss, a route or a training, and one of them")
    without = method.route is not None or method.targets_from == "labels"
    if without != (method.temperature is None):
        raise InputError(
            f"method {name!r}: a loss or a training stands at a temperature of its own (none where "
            "it shows labels), a route at those of a run"
        )
    shows = method.training is not None and method.targets_from != "labels"
    if shows != (method.logit_loss is not None):
        raise InputError(f"method {name!r}: a training that shows logits has a logit_loss")
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


def check_networks(
    names: Sequence[str], networks: Networks, *, mixup: float, given_start: bool
) -> None:
    """Raise InputError if a method among these arms cannot train these networks.

    Args:
      names: of the arms.
      networks: the student, and who teaches it.
      mixup: of the training.
      given_start: whether the student starts from given parameters.

    >>> from kdtheory.models import create
    >>> mlp = create("mlp8x1", 3)
    >>> networks = Networks(student=mlp, teacher=None, image_shape=(8, 8, 1), num_outputs=3)
    >>> check_networks(["labels", "dml"], networks, mixup=0.2, given_start=False)
    Traceback (most recent call last):
    kdtheory.errors.InputError: arm dml needs images that are not mixed: leave --mixup out
    """
    for name in names:
        method = METHODS.get(name)
        if method is None or method.training is None:
            continue
        if mixup:
            raise InputError(f"arm {name} needs images that are not mixed: leave --mixup out")
        if method.network is not None and given_start:
            raise InputError(
                f"arm {name} trains a network of its own: leave --student-variables out"
            )
        try:
            method.check(networks)
        except InputError as error:
            raise InputError(f"arm {name}: {error}") from error
