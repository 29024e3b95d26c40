"""Contrastive representation distillation (CRD): features that name the example they are of.

Source: Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020, equations 9 to
19, and its code (RepDistiller), whose memory bank and constant Z are here too.

The paper's settings for CIFAR-100: cross-entropy with weight 1 and no divergence of predictions;
beta 0.8, 128 numbers a feature, 16,384 negatives of other classes, temperature 0.07, momentum of
the bank 0.5. Published, last epoch, ResNet-56 to ResNet-20: 71.16.

The two linear maps are trained with the student, on its optimiser. An example is compared with all
of the bank by one product, and its negatives are looked up in that; they are drawn with
replacement, as the paper's negatives are (its code draws without). Of fewer than 16,384 examples
there are as many negatives as examples.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Float, Int

from kdtheory.arguments import check_count
from kdtheory.errors import InputError
from kdtheory.methods.pair import Networks, Pair
from kdtheory.methods.taught import check_weight
from kdtheory.models.features import FeatureLayer, captured_features, feature_layer
from kdtheory.models.initializers import torch_bias, torch_kernel
from kdtheory.targets.arguments import check_temperature
from kdtheory.targets.losses import cross_entropy
from kdtheory.targets.stateful import Fresh, StatefulMethod, StepLosses, TrainStep
from kdtheory.typing import ApplyFn, ArrayLike, Variables

NEGATIVES = 16_384


def nce_loss(log_ratio: Float[ArrayLike, "n pairs"]) -> Float[jax.Array, " n"]:
    """Return -log h_0 - sum_k log(1 - h_k), with h = r / (r + K), unreduced (n,).

    r is the critic's ratio of how likely a pair is together and apart, of the pair that belongs
    together in column 0 and of K others behind it. In expectation log K less the loss is at most
    the mutual information of the two members of a pair, whatever the critic (equations 11 and 13).

    Args:
      log_ratio: log r, (n, K + 1).

    >>> round(float(nce_loss(jnp.zeros((1, 2)))[0]), 4)  # two coins: 2 log 2
    1.3863
    """
    r = jnp.asarray(log_ratio)
    u = r - jnp.log(jnp.asarray(r.shape[-1] - 1, r.dtype))
    return jax.nn.softplus(-u[..., 0]) + jax.nn.softplus(u[..., 1:]).sum(axis=-1)


class Classes(NamedTuple):
    """The training examples by class, from which others' classes are drawn."""

    order: Int[ArrayLike, " n"]
    """The examples' positions, class after class."""
    start: Int[ArrayLike, " c"]
    """Where in it a class begins."""
    size: Int[ArrayLike, " c"]
    """How many examples it has."""


def classes_of(labels: Int[np.ndarray, " n"]) -> Classes:
    """Return the examples by class.

    Raises:
      InputError: all are of one class.

    >>> classes_of(np.array([1, 0, 1])).order.tolist()
    [1, 0, 2]
    """
    size = np.bincount(labels)
    if (size > 0).sum() < 2:
        raise InputError("crd contrasts examples of different classes, and there is one class")
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    order = np.argsort(labels, kind="stable")
    return Classes(*(jnp.asarray(each, jnp.int32) for each in (order, start, size)))


def draw_negatives(
    key: jax.Array, labels: Int[ArrayLike, " n"], classes: Classes, count: int
) -> Int[jax.Array, "n k"]:
    """Return positions of training examples of other classes, uniform and with replacement.

    >>> classes = classes_of(np.array([0, 1, 1]))
    >>> draw_negatives(jax.random.key(0), jnp.array([1]), classes, 4).tolist()
    [[0, 0, 0, 0]]
    """
    order, start, size = (jnp.asarray(each) for each in classes)
    start, size = (each[jnp.asarray(labels)][:, None] for each in (start, size))
    shape = (start.shape[0], count)
    place = jax.random.randint(key, shape, 0, order.shape[0] - size, dtype=jnp.int32)
    return order[jnp.where(place >= start, place + size, place)]


def unit(vectors: Float[ArrayLike, "n e"]) -> Float[jax.Array, "n e"]:
    """Return vectors divided by their length; zeros stay zeros."""
    v = jnp.asarray(vectors)
    return v * jax.lax.rsqrt(jnp.maximum(jnp.sum(v**2, axis=-1, keepdims=True), 1e-24))


class CrdSettings(NamedTuple):
    """The numbers of CRD, as scalars of the compiled step."""

    weight: ArrayLike
    temperature: ArrayLike
    momentum: ArrayLike


@struct.dataclass
class Contrastive(StatefulMethod):
    """A student on labels whose features are to name the teacher's of the same example.

    Its own variables: both linear maps, and the memory bank with its constants.
    """

    settings: CrdSettings
    classes: Classes
    teacher_variables: Any
    teacher_apply: ApplyFn = struct.field(pytree_node=False)
    student_layer: FeatureLayer = struct.field(pytree_node=False)
    teacher_layer: FeatureLayer = struct.field(pytree_node=False)
    negatives: int = struct.field(pytree_node=False)
    width: int = struct.field(pytree_node=False)

    def init(self, key: jax.Array, fresh: Fresh) -> dict[str, Any]:
        """Return the maps and the bank, as the paper's code begins."""
        del fresh
        n, (examples,) = self.width, jnp.shape(self.classes.order)

        def linear(key: jax.Array, fan_in: int) -> dict[str, jax.Array]:
            kernel_key, bias_key = jax.random.split(key)
            return {
                "kernel": torch_kernel(kernel_key, (fan_in, n), jnp.float32),
                "bias": torch_bias(fan_in)(bias_key, (n,), jnp.float32),
            }

        def rows(key: jax.Array) -> jax.Array:
            bound = (n / 3) ** -0.5
            return jax.random.uniform(key, (examples, n), jnp.float32, -bound, bound)

        keys = jax.random.split(key, 4)
        return {
            "params": {
                "student": linear(keys[0], self.student_layer.width),
                "teacher": linear(keys[1], self.teacher_layer.width),
            },
            "bank": {
                "student": rows(keys[2]),
                "teacher": rows(keys[3]),
                # log Z of each; NaN until the first step sets it.
                "log_z": jnp.full((2,), jnp.nan, jnp.float32),
            },
        }

    def losses(self, step: TrainStep, student: Variables, own: Variables) -> StepLosses:
        """Return CE(y, f) + weight (NCE of the student's features + NCE of the teacher's)."""
        images, labels, indices = step.examples
        with captured_features(self.student_layer) as found:
            logits, student_state = step.forward(student, images)
        with captured_features(self.teacher_layer) as taught:
            self.teacher_apply(self.teacher_variables, images)
        params, bank = own["params"], own["bank"]
        v_student, v_teacher = (
            unit(features @ params[name]["kernel"] + params[name]["bias"][None, :])
            for name, features in (
                ("student", found[0]), ("teacher", jax.lax.stop_gradient(taught[0]))
            )
        )  # fmt: skip
        negatives = draw_negatives(step.key, labels, self.classes, self.negatives)
        chosen = jnp.concatenate([jnp.asarray(indices)[:, None], negatives], axis=1)
        scores = [
            jnp.take_along_axis(v @ bank[other].T, chosen, axis=1) / self.settings.temperature
            for v, other in ((v_student, "teacher"), (v_teacher, "student"))
        ]
        # Z = n times the mean of exp(score), of the first batch, and kept: log r = score - log Z
        # + log n = score - log of that mean.
        first = jnp.stack(
            [jax.nn.logsumexp(s) - jnp.log(jnp.asarray(s.size, s.dtype)) for s in scores]
        )
        log_z = jnp.where(jnp.isnan(bank["log_z"]), jax.lax.stop_gradient(first), bank["log_z"])
        contrast = sum(nce_loss(s - z) for s, z in zip(scores, log_z, strict=True))

        def moved(name: str, v: jax.Array) -> jax.Array:
            mixed = self.settings.momentum * bank[name][indices]
            v = jax.lax.stop_gradient(v)
            mixed += (jnp.ones_like(self.settings.momentum) - self.settings.momentum) * v
            return bank[name].at[indices].set(unit(mixed))

        kept = {"student": moved("student", v_student), "teacher": moved("teacher", v_teacher)}
        losses = cross_entropy(logits, labels) + self.settings.weight * contrast
        return StepLosses(losses, student_state, {"bank": {**kept, "log_z": log_z}})


def check_crd(networks: Networks) -> tuple[FeatureLayer, FeatureLayer]:
    """Return the layers of student's and teacher's features, or raise InputError."""
    modules: tuple[nn.Module, ...] = (networks.student, networks.needed_teacher())
    student, teacher = (feature_layer(module, networks.image_shape) for module in modules)
    return student, teacher


def crd(
    pair: Pair,
    *,
    weight: float = 0.8,
    temperature: float = 0.07,
    momentum: float = 0.5,
    negatives: int = NEGATIVES,
    width: int = 128,
) -> Contrastive:
    """Return CRD for a student and its trained teacher.

    Args:
      pair: networks that name their features, and the training's labels.
      weight: beta, of the contrast.
      temperature: of the scores.
      momentum: share of the bank's row that stays.
      negatives: K; at most as many as there are training examples.
      width: numbers of a mapped feature.

    Raises:
      InputError: a number out of range, or networks without features.
    """
    if not 0 <= momentum < 1:
        raise InputError(f"momentum must lie in [0, 1), got {momentum}")
    for name, count in (("negatives", negatives), ("width", width)):
        check_count(name, count)
    numbers = check_weight("weight", weight), check_temperature(temperature), momentum
    student, teacher = check_crd(pair.networks)
    assert pair.teacher_apply is not None
    return Contrastive(
        settings=CrdSettings(*(jnp.asarray(number, jnp.float32) for number in numbers)),
        classes=classes_of(pair.labels),
        teacher_variables=pair.teacher_variables,
        teacher_apply=pair.teacher_apply,
        student_layer=student,
        teacher_layer=teacher,
        negatives=min(negatives, len(pair.labels)),
        width=width,
    )
