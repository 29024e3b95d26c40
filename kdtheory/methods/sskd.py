"""SSKD: what a teacher knows of which rotated image is of which upright one, distilled.

Source: Xu, Liu, Li, Loy, "Knowledge Distillation Meets Self-Supervision", ECCV 2020, and its code.

The paper's settings for CIFAR-100. The stage before the student's training: the teacher frozen, its
head trained for 60 epochs, learning rate 0.05 divided by ten at 30 and 45, batch 64, weight decay
5e-4. The student with its head: 240 epochs, learning rate 0.05 (0.01 for ShuffleNet and MobileNet),
divided at 150, 180, 210; cross-entropy 0.1, divergence on upright images 0.9 and on rotated ones
2.7, both at tau 4, divergence of similarities 10 at tau 0.5, which keeps 75 % of the rows on which
the teacher's similarities are wrong. Published with its own stronger teacher (ResNet-56 of 73.44):
ResNet-20 71.49, best epoch.

Each image is shown four times, upright and turned by 90, 180 and 270 degrees: one mirroring for all
four, a crop for each. The head's stage lasts a quarter of the student's epochs, as in the paper.
"""

from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Bool, Float, Int

from kdtheory.errors import InputError
from kdtheory.methods.pair import Networks, Pair
from kdtheory.methods.taught import check_weight
from kdtheory.models.features import FeatureLayer, captured_features, feature_layer
from kdtheory.models.initializers import torch_dense
from kdtheory.targets.arguments import check_alpha, check_temperature
from kdtheory.targets.losses import cross_entropy, distillation_divergence
from kdtheory.targets.stateful import Fresh, StatefulMethod, StepLosses, TrainStep
from kdtheory.training import OptimizerConfig, Trainer
from kdtheory.typing import ApplyFn, ArrayLike, Variables

#: Of the cross-entropy and of the divergence on upright images.
LABEL_WEIGHT, KD_WEIGHT, TEMPERATURE = 0.1, 0.9, 4.0


class Head(nn.Module):
    """The contrastive head: a linear layer, ReLU, a linear layer, all of the features' width."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Map features (n, width) to (n, width)."""
        del train
        # Biases that are not zero: where all units are dead, the cosine still has a direction.
        x = nn.relu(torch_dense(self.width, x.size // x.shape[0])(x.reshape(x.shape[0], -1)))
        return torch_dense(self.width, self.width)(x)


def headed(width: int, head: Variables, features: jax.Array) -> Float[jax.Array, "m e"]:
    """Return what a head makes of features (m, width)."""
    return cast("jax.Array", Head(width).apply(head, features))


def turned(step: TrainStep) -> Float[jax.Array, "m h w c"]:
    """Return a batch's n upright images, then those turned by 90, 180 and 270 degrees: 4 n."""
    views = [jnp.rot90(step.view(k), k, axes=(1, 2)) for k in range(4)]
    return jnp.concatenate(views)


def similarities(vectors: Float[ArrayLike, "m e"]) -> Float[jax.Array, "k n"]:
    """Return the cosine of each turned view with each upright one, (3 n, n), of 4 n vectors.

    >>> similarities(jnp.array([[1.0], [1.0], [-1.0], [1.0]])).tolist()
    [[1.0], [-1.0], [1.0]]
    """
    v = jnp.asarray(vectors)
    v = v * jax.lax.rsqrt(jnp.maximum(jnp.sum(v**2, axis=-1, keepdims=True), 1e-16))
    n = v.shape[0] // 4
    return v[n:] @ v[:n].T


def kept_rows(
    scores: Float[ArrayLike, "m d"],
    answers: Int[ArrayLike, " m"],
    share: float | Float[ArrayLike, ""],
) -> Bool[jax.Array, " m"]:
    """Return which rows of a teacher are transferred: all that are right, and the least wrong.

    A row is right if its answer has the largest score. Of the others, ordered by the place of the
    answer among the row's scores, the first floor(share times their number) are kept.

    Args:
      scores: the teacher's, (m, d).
      answers: the right column of each row, (m,).
      share: of the wrong rows, in [0, 1].

    >>> scores = jnp.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    >>> kept_rows(scores, jnp.array([0, 1, 2]), 0.5).tolist()
    [True, False, True]
    """
    scores, answers = jnp.asarray(scores), jnp.asarray(answers)
    own = jnp.take_along_axis(scores, answers[:, None], axis=1)
    place = jnp.sum(scores > own, axis=1)
    wrong = jnp.sum(place > 0)
    of_wrong = jnp.floor(jnp.asarray(share, scores.dtype) * wrong.astype(scores.dtype))
    kept = place.shape[0] - wrong + of_wrong.astype(wrong.dtype)
    rank = jnp.argsort(jnp.argsort(place, stable=True), stable=True)
    return rank < kept


def _mean_of(values: jax.Array, kept: jax.Array) -> jax.Array:
    count = jnp.maximum(jnp.sum(kept), 1).astype(values.dtype)
    return jnp.sum(jnp.where(kept, values, jnp.zeros_like(values))) / count


def logit_loss(
    logits: Float[ArrayLike, "n d"],
    teacher_logits: Float[ArrayLike, "n d"],
    labels: Int[ArrayLike, " n"],
) -> Float[jax.Array, " n"]:
    """Return 0.1 CE(y, f) + 0.9 tau^2 KL, tau = 4, on upright images, unreduced (n,)."""
    divergence = distillation_divergence(logits, teacher_logits, TEMPERATURE)
    return LABEL_WEIGHT * cross_entropy(logits, labels) + KD_WEIGHT * divergence


class SskdSettings(NamedTuple):
    """The numbers of SSKD, as scalars of the compiled step."""

    turned_weight: ArrayLike
    turned_share: ArrayLike
    similarity_weight: ArrayLike
    similarity_temperature: ArrayLike
    similarity_share: ArrayLike


class SskdTeacher(NamedTuple):
    """A frozen teacher and its head."""

    variables: Any
    head: Any


@struct.dataclass
class SelfSupervised(StatefulMethod):
    """A student that follows a teacher on upright and turned images, and in their similarities.

    Its own variables: the student's head.
    """

    settings: SskdSettings
    teacher: SskdTeacher
    teacher_apply: ApplyFn = struct.field(pytree_node=False)
    teacher_layer: FeatureLayer = struct.field(pytree_node=False)
    student_layer: FeatureLayer = struct.field(pytree_node=False)

    def init(self, key: jax.Array, fresh: Fresh) -> dict[str, Any]:
        """Return the head's variables."""
        del fresh
        width = self.student_layer.width
        return dict(Head(width).init(key, jnp.zeros((1, width))))

    def losses(self, step: TrainStep, student: Variables, own: Variables) -> StepLosses:
        """Return the four terms; those over selected rows are the same for every example."""
        images, labels = turned(step), jnp.asarray(step.examples.labels)
        n = labels.shape[0]
        with captured_features(self.teacher_layer) as taught:
            g = self.teacher_apply(self.teacher.variables, images)
        with captured_features(self.student_layer) as found:
            f, student_state = step.forward(student, images)
        t = similarities(headed(self.teacher_layer.width, self.teacher.head, taught[0]))
        s = similarities(headed(self.student_layer.width, own, found[0]))
        settings = self.settings
        right = jnp.tile(labels, 3)
        kept = kept_rows(g[n:], right, settings.turned_share)
        on_turned = _mean_of(distillation_divergence(f[n:], g[n:], TEMPERATURE), kept)
        mine = jnp.tile(jnp.arange(n), 3)
        kept = kept_rows(t, mine, settings.similarity_share)
        on_similarities = _mean_of(
            distillation_divergence(s, t, settings.similarity_temperature), kept
        )
        shared = settings.turned_weight * on_turned + settings.similarity_weight * on_similarities
        return StepLosses(logit_loss(f[:n], g[:n], labels) + shared, student_state, {})


@struct.dataclass
class HeadStage(StatefulMethod):
    """The stage before: a head on a frozen teacher learns whose turned view is whose.

    It trains the head as others train a student; it has no variables of its own.
    """

    teacher_variables: Any
    teacher_apply: ApplyFn = struct.field(pytree_node=False)
    teacher_layer: FeatureLayer = struct.field(pytree_node=False)

    def init(self, key: jax.Array, fresh: Fresh) -> dict[str, Any]:
        """Return none."""
        del key, fresh
        return {"params": {}}

    def losses(self, step: TrainStep, student: Variables, own: Variables) -> StepLosses:
        """Return the cross-entropy of "which is mine" of the similarities, over turned views."""
        del own
        images, n = turned(step), jnp.shape(step.examples.labels)[0]
        with captured_features(self.teacher_layer) as taught:
            self.teacher_apply(self.teacher_variables, images)
        vectors, state = step.forward(student, taught[0])
        losses = cross_entropy(similarities(vectors), jnp.tile(jnp.arange(n), 3))
        return StepLosses(losses.reshape(3, n).mean(axis=0), state, {})


def check_sskd(networks: Networks) -> tuple[FeatureLayer, FeatureLayer]:
    """Return the layers of student's and teacher's features, or raise InputError."""
    height, width, _ = networks.image_shape
    if height != width or height < 2:
        raise InputError(f"it turns images, which must be square, got {height} x {width}")
    teacher = networks.needed_teacher()
    return (
        feature_layer(networks.student, networks.image_shape),
        feature_layer(teacher, networks.image_shape),
    )


def sskd_stage(pair: Pair, student_trainer: Trainer) -> tuple[Trainer, HeadStage]:
    """Return what trains the teacher's head before the student, and on what."""
    _, layer = check_sskd(pair.networks)
    assert pair.teacher_apply is not None
    trainer = student_trainer.replace(
        module=Head(layer.width), image_shape=(1, 1, layer.width), variables=None,
        epochs=max(1, round(student_trainer.epochs / 4)),
        optimizer=OptimizerConfig(
            optimizer="sgd", learning_rate=0.05, schedule="step", milestones=(0.5, 0.75),
            warmup=0.0, weight_decay=5e-4, gradient_clip=None,
        ),
    )  # fmt: skip
    return trainer, HeadStage(pair.teacher_variables, pair.teacher_apply, layer)


def sskd(
    pair: Pair,
    *,
    turned_weight: float = 2.7,
    turned_share: float = 1.0,
    similarity_weight: float = 10.0,
    similarity_temperature: float = 0.5,
    similarity_share: float = 0.75,
) -> SelfSupervised:
    """Return SSKD for a student, its trained teacher and the teacher's trained head.

    Args:
      pair: networks that name their features; `stage` holds the head's variables.
      turned_weight: of the divergence on turned images.
      turned_share: of the rows on which the teacher is wrong there, how many are transferred.
      similarity_weight: of the divergence of similarities.
      similarity_temperature: its tau.
      similarity_share: as turned_share, of the similarities.

    Raises:
      InputError: a number out of range, networks without features, or no trained head.
    """
    numbers = (
        check_weight("turned_weight", turned_weight),
        check_alpha(turned_share),
        check_weight("similarity_weight", similarity_weight),
        check_temperature(similarity_temperature),
        check_alpha(similarity_share),
    )
    student, teacher = check_sskd(pair.networks)
    if pair.stage is None:
        raise InputError("sskd needs the teacher's head, which its stage trains: Pair(stage=...)")
    assert pair.teacher_apply is not None
    return SelfSupervised(
        settings=SskdSettings(*(jnp.asarray(number, jnp.float32) for number in numbers)),
        teacher=SskdTeacher(pair.teacher_variables, pair.stage),
        teacher_apply=pair.teacher_apply,
        teacher_layer=teacher,
        student_layer=student,
    )
