"""Deep mutual learning (DML): two students of one architecture that teach each other.

Source: Zhang, Xiang, Hospedales, Lu, "Deep Mutual Learning", CVPR 2018, equations 1 to 6.

The paper's settings: the divergence with weight 1 and no temperature; for CIFAR-100 stochastic
gradient descent with Nesterov momentum 0.9, batch 64, 200 epochs, learning rate 0.1 divided by ten
every 60 epochs. Its algorithm 1 updates the two networks in turn, the second on the predictions of
the first after its update; here, as in most later code, both follow the gradient at one point, so
that neither is first.

It is not what the paper on supervision complexity calls online distillation: that has a teacher
which was trained before.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Float, Int

from kdtheory.methods.taught import check_weight
from kdtheory.targets.arguments import check_temperature
from kdtheory.targets.losses import cross_entropy, distillation_divergence
from kdtheory.targets.stateful import Fresh, StatefulMethod, StepLosses, TrainStep
from kdtheory.typing import ArrayLike, Variables

#: Number of the peer's dropout; the student's is 1, and the batch's augmentation has 2 and 3.
PEER_DROPOUT = 4


def dml_loss(
    logits: Float[ArrayLike, "n d"],
    peer_logits: Float[ArrayLike, "n d"],
    labels: Int[ArrayLike, " n"],
    *,
    weight: float | Float[ArrayLike, ""] = 1.0,
    temperature: float | Float[ArrayLike, ""] = 1.0,
) -> Float[jax.Array, " n"]:
    """Return CE(y, f) + weight tau^2 KL(softmax(g / tau) || softmax(f / tau)), unreduced (n,).

    No gradient reaches the peer's logits g (equation 5: each network descends on its own loss).

    Args:
      logits: the network's own f, (n, d).
      peer_logits: g, the same shape.
      labels: class indices (n,).
      weight: of the divergence.
      temperature: tau > 0.

    >>> f, y = jnp.array([[1.0, 0.0]]), jnp.array([0])
    >>> bool(dml_loss(f, f, y) == cross_entropy(f, y))
    True
    """
    f, g = jnp.asarray(logits), jax.lax.stop_gradient(jnp.asarray(peer_logits))
    divergence = distillation_divergence(f, g, temperature)
    return cross_entropy(f, labels) + jnp.asarray(weight, f.dtype) * divergence


class DmlSettings(NamedTuple):
    """The numbers of DML, as scalars of the compiled step."""

    weight: ArrayLike
    temperature: ArrayLike


@struct.dataclass
class MutualLearning(StatefulMethod):
    """A student, and a peer of its architecture from another initialisation, on the same batches.

    Its own variables are the peer's.
    """

    has_peer = True

    settings: DmlSettings

    def init(self, key: jax.Array, fresh: Fresh) -> dict[str, Any]:
        """Return the peer's variables."""
        return dict(fresh(key))

    def losses(self, step: TrainStep, student: Variables, own: Variables) -> StepLosses:
        """Return the sum of the two networks' losses."""
        images, labels, _ = step.examples
        f, student_state = step.forward(student, images)
        g, peer_state = step.forward(own, images, dropout=PEER_DROPOUT)
        weights = self.settings._asdict()
        both = dml_loss(f, g, labels, **weights) + dml_loss(g, f, labels, **weights)
        return StepLosses(both, student_state, peer_state)


def dml(*, weight: float = 1.0, temperature: float = 1.0) -> MutualLearning:
    """Return mutual learning of two students.

    Args:
      weight: of each one's divergence from the other.
      temperature: tau > 0 of the divergence; the paper has none.

    Raises:
      InputError: a number out of range.

    >>> dml(weight=-1.0)
    Traceback (most recent call last):
    kdtheory.errors.InputError: weight must be at least 0 and finite, got -1.0
    """
    numbers = check_weight("weight", weight), check_temperature(temperature)
    return MutualLearning(DmlSettings(*(jnp.asarray(number, jnp.float32) for number in numbers)))
