"""DIST: distillation of relations, which a positive affine map of the predictions leaves alone.

Source: Huang, You, Wang, Qian, Xu, "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022,
equations 8 to 10.

The paper's settings for CIFAR-100: cross-entropy with weight 1, beta 2, gamma 2, tau 4. Published,
last epoch, ResNet-56 to ResNet-20: 71.75.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from kdtheory.methods.taught import Taught, check_teacher, check_weight
from kdtheory.targets.arguments import check_temperature
from kdtheory.targets.losses import class_logits, cross_entropy
from kdtheory.typing import ArrayLike


def _pearson_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return 1 - the correlation of a's and b's rows; 1 where a row is constant."""
    a = a - a.mean(axis=-1, keepdims=True)
    b = b - b.mean(axis=-1, keepdims=True)
    product = jnp.sum(a**2, axis=-1) * jnp.sum(b**2, axis=-1)
    # Twice `where`: the root's slope at 0 would make the gradient NaN.
    safe = jnp.where(product > 0, product, jnp.ones_like(product))
    correlation = jnp.where(product > 0, jnp.sum(a * b, axis=-1) / jnp.sqrt(safe), 0)
    return jnp.ones_like(correlation) - correlation


def dist_loss(
    student_logits: Float[ArrayLike, "n d"],
    teacher_logits: Float[ArrayLike, "n d"],
    *,
    beta: float | Float[ArrayLike, ""] = 2.0,
    gamma: float | Float[ArrayLike, ""] = 2.0,
    temperature: float | Float[ArrayLike, ""] = 4.0,
) -> Float[jax.Array, " n"]:
    """Return tau^2 (beta inter_i + gamma intra): distances of softened predictions, (n,).

    With q = softmax(f / tau) and p = softmax(g / tau), inter_i = 1 - corr(q_i, p_i) over the
    classes of example i, and intra = the mean over classes c of 1 - corr(q_:c, p_:c) over the
    examples of the batch: the same for every example, so the mean of the result is the paper's
    loss. A distance to a constant row or column is 1.

    Args:
      student_logits: f, (n, d), or (n, 1) for a binary task; n >= 2 for the second term.
      teacher_logits: g, the same shape.
      beta: weight of the relation between classes.
      gamma: weight of the relation between examples.
      temperature: tau > 0.

    >>> f = jnp.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    >>> bool(jnp.abs(dist_loss(f, f)).max() < 1e-5)
    True
    """
    f, g = class_logits(student_logits), class_logits(teacher_logits)
    beta, gamma, tau = (jnp.asarray(value, f.dtype) for value in (beta, gamma, temperature))
    q, p = jax.nn.softmax(f / tau), jax.nn.softmax(g / tau)
    inter = _pearson_distance(q, p)
    intra = _pearson_distance(q.T, p.T).mean()
    return tau**2 * (beta * inter + gamma * intra)


class DistSettings(NamedTuple):
    """The numbers of DIST, as scalars of the compiled step."""

    label_weight: ArrayLike
    beta: ArrayLike
    gamma: ArrayLike
    temperature: ArrayLike


def _loss(settings: DistSettings, f: jax.Array, g: jax.Array, y: jax.Array, step: jax.Array) -> Any:
    del step
    distilled = dist_loss(
        f, g, beta=settings.beta, gamma=settings.gamma, temperature=settings.temperature
    )
    return settings.label_weight * cross_entropy(f, y) + distilled


def dist(
    teacher: Any,
    *,
    beta: float = 2.0,
    gamma: float = 2.0,
    temperature: float = 4.0,
    label_weight: float = 1.0,
) -> Taught:
    """Return a teacher's provider that trains by DIST: label_weight CE(y, f) + L_DIST(f, g).

    Args:
      teacher: `targets.offline(...)`, `online(...)` or `tabulated(...)`; its temperature and alpha
        make the targets that are measured, not the loss.
      beta: weight of the relation between classes.
      gamma: weight of the relation between the batch's examples.
      temperature: tau > 0 of the loss.
      label_weight: weight of the labels' cross-entropy.

    Raises:
      InputError: no teacher, or a number out of range.

    >>> from kdtheory.targets import Examples, tabulate, tabulated
    >>> teacher = tabulated(tabulate([jnp.eye(3)], [1]))
    >>> examples = Examples(jnp.zeros((3, 1)), jnp.arange(3), jnp.arange(3))
    >>> loss = dist(teacher, label_weight=0.0).loss(5.0 * jnp.eye(3), 1, examples)
    >>> bool(jnp.abs(loss).max() < 1e-3)  # q is an affine map of p
    True
    """
    numbers = (
        check_weight("label_weight", label_weight),
        check_weight("beta", beta),
        check_weight("gamma", gamma),
        check_temperature(temperature),
    )
    settings = DistSettings(*(jnp.asarray(number, jnp.float32) for number in numbers))
    return Taught(check_teacher(teacher, "dist"), settings, _loss)
