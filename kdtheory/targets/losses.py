"""Training losses, unreduced: the reduction is the caller's.

One logit (d = 1) means a binary task: class 1 has the label +1 and class 0 the label -1, and the
softmax over d classes becomes the sigmoid of the logit.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, Int

from kdtheory.datasets.image_dataset import check_class_indices
from kdtheory.errors import InputError
from kdtheory.targets.arguments import check_alike, check_alpha, check_temperature
from kdtheory.typing import ArrayLike


def class_logits(logits: Float[ArrayLike, "*n d"]) -> Float[jax.Array, "*n c"]:
    """Return logits over all classes: one logit z becomes (0, z), whose softmax is the sigmoid.

    >>> class_logits(jnp.array([[2.0]])).tolist()
    [[0.0, 2.0]]
    """
    logits = jnp.asarray(logits)
    if logits.shape[-1] == 1:
        return jnp.concatenate([jnp.zeros_like(logits), logits], axis=-1)
    return logits


def cross_entropy(
    logits: Float[ArrayLike, "n d"], labels: Int[ArrayLike, " m"]
) -> Float[jax.Array, " n"]:
    """Return the cross-entropy of class labels, in nats.

    The formula is -log softmax(f)_y; for one logit the logistic loss log(1 + exp(-y f)) with y in
    {-1, +1}.

    Args:
      logits: (n, d), or (n, 1) for a binary task.
      labels: class indices (n,): 0 to d - 1, or 0 and 1 for one logit.

    Returns:
      One loss an example (n,).

    Raises:
      InputError: labels of another number or kind, or, where their values are known, out of range.

    >>> float(cross_entropy(jnp.zeros((1, 4)), jnp.array([2]))[0])  # log 4
    1.386...
    """
    rows, outputs = jnp.shape(logits)
    check_class_indices(labels, outputs)
    if len(labels) != rows:
        raise InputError(
            f"every example needs a label, got {rows} rows of logits, {len(labels)} labels"
        )
    return optax.losses.softmax_cross_entropy_with_integer_labels(class_logits(logits), labels)


def distillation_divergence(
    student_logits: Float[ArrayLike, "n d"],
    teacher_logits: Float[ArrayLike, "m c"],
    temperature: float | Float[ArrayLike, ""],
) -> Float[jax.Array, " n"]:
    """Return tau^2 KL(softmax(g / tau) || softmax(f / tau)), in nats.

    For one logit it is tau^2 times the Bernoulli divergence of sigmoid(g / tau) from
    sigmoid(f / tau). The factor tau^2 keeps the gradient's size as tau grows (Hinton et al., 2015).

    Args:
      student_logits: f, (n, d).
      teacher_logits: g, (n, d); -inf for a class that the teacher rules out.
      temperature: tau > 0.

    Returns:
      One divergence an example (n,), zero where f and g agree up to a constant.

    Raises:
      InputError: logits of two shapes or, where it is known, a temperature that is not above 0.

    >>> distillation_divergence(jnp.ones((1, 3)), jnp.zeros((1, 3)), 4.0).tolist()
    [0.0]
    """
    check_alike("the student's and the teacher's logits", student_logits, teacher_logits)
    temperature = check_temperature(temperature)
    temperature = jnp.asarray(temperature, jnp.asarray(student_logits).dtype)
    log_student = jax.nn.log_softmax(class_logits(student_logits) / temperature)
    log_teacher = jax.nn.log_softmax(class_logits(teacher_logits) / temperature)
    # 0 log 0 = 0 for a class that is ruled out. Where none is, this is optax's sum bit for bit, and
    # stored runs that are continued make the updates that they would have made.
    log_teacher = jnp.maximum(log_teacher, jnp.finfo(log_teacher.dtype).min)
    divergence = optax.losses.kl_divergence_with_log_targets(log_student, log_teacher)
    return temperature**2 * divergence


def distillation_loss(
    student_logits: Float[ArrayLike, "n d"],
    teacher_logits: Float[ArrayLike, "m c"],
    labels: Int[ArrayLike, " n"],
    *,
    alpha: float | Float[ArrayLike, ""],
    temperature: float | Float[ArrayLike, ""],
) -> Float[jax.Array, " n"]:
    """Return (1 - alpha) CE(y, f) + alpha tau^2 KL(softmax(g / tau) || softmax(f / tau)).

    Source: Hinton et al., 2015; Harutyunyan et al., ICLR 2023, section 2.

    Args:
      student_logits: f, (n, d).
      teacher_logits: g, (n, d).
      labels: class indices (n,).
      alpha: weight of the teacher, in [0, 1].
      temperature: tau > 0.

    Returns:
      One loss an example (n,), in nats.

    Raises:
      InputError: as `cross_entropy` and `distillation_divergence`, or an alpha outside of [0, 1].

    >>> f, y = jnp.array([[1.0, 0.0]]), jnp.array([0])
    >>> bool(distillation_loss(f, f, y, alpha=0.0, temperature=1.0) == cross_entropy(f, y))
    True
    """
    alpha = jnp.asarray(check_alpha(alpha), jnp.asarray(student_logits).dtype)
    one = jnp.ones((), alpha.dtype)
    divergence = distillation_divergence(student_logits, teacher_logits, temperature)
    return (one - alpha) * cross_entropy(student_logits, labels) + alpha * divergence


def squared_error(
    predictions: Float[ArrayLike, "n d"], targets: Float[ArrayLike, "..."]
) -> Float[jax.Array, " n"]:
    """Return 0.5 ||f - Y||^2 an example: the loss under which kernel theory is exact.

    Raises:
      InputError: targets of another shape.

    >>> squared_error(jnp.array([[3.0, 1.0]]), jnp.array([[1.0, 1.0]])).tolist()
    [2.0]
    """
    check_alike("predictions and targets", predictions, targets)
    return optax.losses.l2_loss(jnp.asarray(predictions), jnp.asarray(targets)).sum(axis=-1)
