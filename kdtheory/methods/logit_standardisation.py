"""Logit standardisation (LSKD): the student need not match the teacher's shift and scale.

Source: Sun, Ren, Li, Wang, Cao, "Logit Standardization in Knowledge Distillation", CVPR 2024,
algorithm 1.

The paper's settings for CIFAR-100: cross-entropy with weight 0.1, the divergence with weight 9,
tau 2. Published, last epoch, ResNet-56 to ResNet-20: KD + LSKD 71.43, DKD + LSKD 72.32.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from kdtheory.errors import InputError
from kdtheory.methods.taught import Taught, check_teacher, check_weight
from kdtheory.plain_text import number_of
from kdtheory.targets.arguments import check_temperature
from kdtheory.targets.losses import cross_entropy, distillation_divergence
from kdtheory.typing import ArrayLike

#: Added to the deviation, as in the authors' code: logits that are all equal become zeros.
EPSILON = 1e-7


def standardise(logits: Float[ArrayLike, "n d"]) -> Float[jax.Array, "n d"]:
    """Return (z - mean(z)) / (std(z) + 1e-7) of each example's logits, over d >= 3 classes.

    The deviation divides by d - 1. Of two classes nothing but the sign would be left.

    Raises:
      InputError: fewer than three logits.

    >>> standardise(jnp.array([[1.0, 2.0, 3.0]])).round(3).tolist()
    [[-1.0, 0.0, 1.0]]
    """
    z = jnp.asarray(logits)
    if z.shape[-1] < 3:
        raise InputError(
            "logit standardisation needs at least 3 classes (of two only the sign is left), "
            f"got {number_of(z.shape[-1], 'logit')}"
        )
    centred = z - z.mean(axis=-1, keepdims=True)
    variance = jnp.sum(centred**2, axis=-1, keepdims=True) / jnp.asarray(z.shape[-1] - 1, z.dtype)
    # Twice `where`: the root's slope at 0 would make the gradient NaN.
    safe = jnp.where(variance > 0, variance, jnp.ones_like(variance))
    deviation = jnp.where(variance > 0, jnp.sqrt(safe), jnp.zeros_like(variance))
    return centred / (deviation + jnp.asarray(EPSILON, z.dtype))


class LskdSettings(NamedTuple):
    """The numbers of LSKD, as scalars of the compiled step."""

    label_weight: ArrayLike
    weight: ArrayLike
    temperature: ArrayLike


def _loss(settings: LskdSettings, f: jax.Array, g: jax.Array, y: jax.Array, step: jax.Array) -> Any:
    del step
    divergence = distillation_divergence(standardise(f), standardise(g), settings.temperature)
    return settings.label_weight * cross_entropy(f, y) + settings.weight * divergence


def logit_standardisation(
    teacher: Any, *, temperature: float = 2.0, weight: float = 9.0, label_weight: float = 0.1
) -> Taught:
    """Return a teacher's provider that trains on standardised logits.

    The loss is label_weight CE(y, f) + weight tau^2 KL(softmax(Z(g) / tau) || softmax(Z(f) / tau)),
    with Z from `standardise`: shift and scale of either's logits change nothing in the second term.

    Args:
      teacher: `targets.offline(...)`, `online(...)` or `tabulated(...)`; its temperature and alpha
        make the targets that are measured (of standardised logits), not the loss.
      temperature: tau > 0 of the loss.
      weight: of the divergence.
      label_weight: of the labels' cross-entropy.

    Raises:
      InputError: no teacher, a number out of range; at the first loss, fewer than three classes.

    >>> from kdtheory.targets import Examples, tabulate, tabulated
    >>> teacher = tabulated(tabulate([jnp.eye(3)], [1]))
    >>> examples = Examples(jnp.zeros((3, 1)), jnp.arange(3), jnp.arange(3))
    >>> method = logit_standardisation(teacher, label_weight=0.0)
    >>> bool(jnp.abs(method.loss(7.0 * jnp.eye(3) - 2.0, 1, examples)).max() < 1e-5)
    True
    """
    numbers = (
        check_weight("label_weight", label_weight),
        check_weight("weight", weight),
        check_temperature(temperature),
    )
    settings = LskdSettings(*(jnp.asarray(number, jnp.float32) for number in numbers))
    return Taught(check_teacher(teacher, "logit_standardisation"), settings, _loss, standardise)
