"""Decoupled knowledge distillation (DKD).

Source: Zhao, Cui, Song, Qiu, Liang, "Decoupled Knowledge Distillation", CVPR 2022, equations 5 to
8.

The paper's settings for CIFAR-100: cross-entropy with weight 1, alpha 1, tau 4, the distillation
term warmed up linearly over 20 epochs; beta 2 for ResNet-56 to ResNet-20, 8 for ResNet-32x4 to
ResNet-8x4. Published, last epoch, ResNet-56 to ResNet-20: 71.97.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from kdtheory.errors import InputError
from kdtheory.methods.taught import Taught, check_teacher, check_weight
from kdtheory.targets.arguments import check_temperature
from kdtheory.targets.losses import class_logits, cross_entropy
from kdtheory.typing import ArrayLike


class DkdTerms(NamedTuple):
    """The two parts of KL(p || q) of softened predictions, for each example (n,), in nats."""

    target_class: Float[jax.Array, " n"]
    """TCKD: the divergence of (p_y, 1 - p_y) from (q_y, 1 - q_y)."""
    non_target_class: Float[jax.Array, " n"]
    """NCKD: the divergence of the other classes' distributions, each normalised by itself."""
    non_target_mass: Float[jax.Array, " n"]
    """1 - p_y: KL(p || q) = TCKD + (1 - p_y) NCKD (equation 6)."""


def dkd_terms(
    student_logits: Float[ArrayLike, "n d"],
    teacher_logits: Float[ArrayLike, "n d"],
    labels: Int[ArrayLike, " n"],
    *,
    temperature: float | Float[ArrayLike, ""],
) -> DkdTerms:
    """Return the target-class and the non-target-class divergence, without any factor tau^2.

    With p = softmax(g / tau) and q = softmax(f / tau). Of two classes (one logit) there is one
    other class: NCKD is zero.

    Args:
      student_logits: f, (n, d), or (n, 1) for a binary task.
      teacher_logits: g, the same shape.
      labels: class indices (n,).
      temperature: tau > 0.

    >>> f, g = jnp.array([[1.0, 0.0, 2.0]]), jnp.array([[0.5, 1.0, 0.0]])
    >>> target, other, mass = dkd_terms(f, g, jnp.array([0]), temperature=1.0)
    >>> p, q = jax.nn.softmax(g), jax.nn.softmax(f)
    >>> bool(jnp.allclose(target + mass * other, (p * jnp.log(p / q)).sum()))
    True
    """
    f, g = class_logits(student_logits), class_logits(teacher_logits)
    temperature = jnp.asarray(temperature, f.dtype)
    log_q, log_p = jax.nn.log_softmax(f / temperature), jax.nn.log_softmax(g / temperature)
    is_target = jax.nn.one_hot(jnp.asarray(labels), f.shape[-1], dtype=jnp.bool_)

    def split(log_probabilities: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return log p_y, log (1 - p_y) and the log distribution of the other classes."""
        target = jnp.where(is_target, log_probabilities, -jnp.inf).max(axis=-1)
        # Not log(1 - p_y): that is -inf where p_y rounds to 1.
        rest = jax.nn.logsumexp(log_probabilities, axis=-1, where=~is_target)
        return target, rest, log_probabilities - rest[..., None]

    target_p, rest_p, other_p = split(log_p)
    target_q, rest_q, other_q = split(log_q)
    mass = jnp.exp(rest_p)
    target_class = jnp.exp(target_p) * (target_p - target_q) + mass * (rest_p - rest_q)
    non_target = jnp.sum(jnp.exp(other_p) * (other_p - other_q), axis=-1, where=~is_target)
    return DkdTerms(target_class, non_target, mass)


def dkd_loss(
    student_logits: Float[ArrayLike, "n d"],
    teacher_logits: Float[ArrayLike, "n d"],
    labels: Int[ArrayLike, " n"],
    *,
    alpha: float | Float[ArrayLike, ""] = 1.0,
    beta: float | Float[ArrayLike, ""] = 2.0,
    temperature: float | Float[ArrayLike, ""] = 4.0,
) -> Float[jax.Array, " n"]:
    """Return tau^2 (alpha TCKD + beta NCKD), unreduced (n,), in nats (equation 7).

    With alpha = 1 and, for each example, beta = 1 - p_y it is tau^2 KL(p || q), Hinton's loss.

    Args:
      student_logits: f, (n, d).
      teacher_logits: g, (n, d).
      labels: class indices (n,).
      alpha: weight of the target class's divergence.
      beta: weight of the other classes'.
      temperature: tau > 0.

    >>> dkd_loss(jnp.ones((1, 3)), jnp.zeros((1, 3)), jnp.array([1])).tolist()
    [0.0]
    """
    terms = dkd_terms(student_logits, teacher_logits, labels, temperature=temperature)
    dtype = terms.target_class.dtype
    alpha, beta, tau = (jnp.asarray(value, dtype) for value in (alpha, beta, temperature))
    return tau**2 * (alpha * terms.target_class + beta * terms.non_target_class)


class DkdSettings(NamedTuple):
    """The numbers of DKD, as scalars of the compiled step."""

    label_weight: ArrayLike
    alpha: ArrayLike
    beta: ArrayLike
    temperature: ArrayLike
    warmup_steps: ArrayLike


def _loss(settings: DkdSettings, f: jax.Array, g: jax.Array, y: jax.Array, step: jax.Array) -> Any:
    grown = jnp.minimum(step.astype(f.dtype) / settings.warmup_steps, jnp.ones((), f.dtype))
    distilled = dkd_loss(
        f, g, y, alpha=settings.alpha, beta=settings.beta, temperature=settings.temperature
    )
    return settings.label_weight * cross_entropy(f, y) + grown * distilled


def dkd(
    teacher: Any,
    *,
    alpha: float = 1.0,
    beta: float = 2.0,
    temperature: float = 4.0,
    label_weight: float = 1.0,
    warmup_steps: int = 1,
) -> Taught:
    """Return a teacher's provider that trains by DKD: label_weight CE(y, f) + w_t L_DKD(f, g, y).

    w_t = min(t / warmup_steps, 1) at update t.

    Args:
      teacher: `targets.offline(...)`, `online(...)` or `tabulated(...)`; its temperature and alpha
        make the targets that are measured, not the loss.
      alpha: weight of the target class's divergence.
      beta: weight of the other classes'.
      temperature: tau > 0 of the loss.
      label_weight: weight of the labels' cross-entropy.
      warmup_steps: updates until the divergence has its full weight (the paper: 20 epochs).

    Raises:
      InputError: no teacher, or a number out of range.

    >>> from kdtheory.targets import Examples, tabulate, tabulated
    >>> teacher = tabulated(tabulate([jnp.array([[1.0, 0.0, 0.0]])], [1]))
    >>> examples = Examples(jnp.zeros((1, 1)), jnp.array([0]), jnp.array([0]))
    >>> f = jnp.array([[1.0, 0.0, 0.0]])
    >>> loss = dkd(teacher).loss(f, 1, examples)  # f = g: the cross-entropy alone
    >>> bool(jnp.allclose(loss, cross_entropy(f, jnp.array([0]))))
    True
    """
    if warmup_steps < 1:
        raise InputError(f"warmup_steps must be at least 1, got {warmup_steps}")
    numbers = (
        check_weight("label_weight", label_weight),
        check_weight("alpha", alpha),
        check_weight("beta", beta),
        check_temperature(temperature),
        float(warmup_steps),
    )
    settings = DkdSettings(*(jnp.asarray(number, jnp.float32) for number in numbers))
    return Taught(check_teacher(teacher, "dkd"), settings, _loss)
