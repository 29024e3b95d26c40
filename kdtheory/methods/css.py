"""CSS: two networks of several branches, each blind to another corner, that teach each other.

Source: "Channel Self-Supervision for Online Knowledge Distillation", arXiv 2203.11660, and its
code.

The paper's settings for CIFAR-100: 3 branches, T = 3, 300 epochs, batch 128, learning rate 0.1
divided by ten at 150 and 225, five epochs of warm-up, weight decay 5e-4. Its ResNets are of
bottlenecks, so its numbers do not compare with the tables of other methods.

The student is another network than on other arms: up to the last layer that makes its map smaller
it is one, from there on it has a copy of its layers for each branch, with n C outputs. Branch i has
a corner of the map set to zero (a quarter of its sides) and learns the joint label y n + i; what
the student says is the mean over the branches of outputs i, n + i, 2 n + i, ...
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Float, Int

from kdtheory.errors import InputError
from kdtheory.methods.dml import PEER_DROPOUT
from kdtheory.methods.pair import Networks
from kdtheory.models.initialize import abstract_variables
from kdtheory.targets.arguments import check_temperature
from kdtheory.targets.losses import cross_entropy, distillation_divergence
from kdtheory.targets.stateful import Fresh, StatefulMethod, StepLosses, TrainStep
from kdtheory.typing import ArrayLike, Variables

BRANCHES, TEMPERATURE = 3, 3.0

#: Of the map whose corners are set to zero: its quarter is then a pixel.
_SMALLEST_SIDE = 4


def first_own_call(module: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Return which of a network's calls of its layers is the first that each branch has by itself.

    That is the last layer that makes its map (n, h, w, c) smaller, or is given a smaller one than
    the layer before it returned, among those whose map has at least 4 pixels a side. For CIFAR
    ResNets it is the third stage's first block, as in the paper.

    Raises:
      InputError: there is no such layer behind another one.

    >>> from kdtheory.models import create
    >>> first_own_call(create("resnet8", 10), (16, 16, 3))  # conv, norm, block, block; block
    4
    """
    calls: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def intercept(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if len(context.module.path) != 1 or context.method_name != "__call__":
            return call(*args, **kwargs)
        number = len(calls)
        calls.append(((), ()))
        result = call(*args, **kwargs)
        calls[number] = (jnp.shape(args[0]), jnp.shape(result)) if args else ((), ())
        return result

    with nn.intercept_methods(intercept):
        abstract_variables(module, image_shape)
    found, before = 0, None
    for number, (given, made) in enumerate(calls):
        if len(given) != 4:
            continue
        side = min(given[1:3])
        shrinks = len(made) == 4 and min(made[1:3]) < side
        if (shrinks or (before is not None and side < before)) and side >= _SMALLEST_SIDE:
            found = number
        before = min(made[1:3]) if len(made) == 4 else side
    if not found:
        raise InputError(
            "it sets corners of the map inside of a convolutional network to zero, and "
            f"{type(module).__name__} has no layer that makes a map of at least {_SMALLEST_SIDE} "
            "pixels a side smaller, behind another one"
        )
    return found


def without_corner(maps: Float[ArrayLike, "n h w c"], corner: int) -> Float[jax.Array, "n h w c"]:
    """Return maps with a corner, of a quarter of their sides, set to zero.

    Corners are 0: top left, 1: top right, 2: bottom left, 3: bottom right.

    >>> without_corner(jnp.ones((1, 4, 4, 1)), 1)[0, :2, :, 0].tolist()
    [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]]
    """
    maps = jnp.asarray(maps)
    (h, w), (bottom, right) = maps.shape[1:3], divmod(corner, 2)
    rows = slice(h - h // 4, h) if bottom else slice(0, h // 4)
    columns = slice(w - w // 4, w) if right else slice(0, w // 4)
    return maps.at[:, rows, columns].set(0)


class Branched(nn.Module):
    """A network that from one layer on has branches, each blind to another corner.

    Attributes:
      base: the network, with `branches` times the classes as outputs.
      num_outputs: of what it says: 1 for two classes.
      own_from: `first_own_call` of the network.
      branches: 2 to 4.
    """

    base: nn.Module
    num_outputs: int
    own_from: int
    branches: int = BRANCHES

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, joint: bool = False) -> jax.Array:
        """Map images (n, h, w, c) to logits (n, num_outputs), or joint ones (branches, n, n C)."""
        shared: list[jax.Array] = []
        logits = []
        for branch in range(self.branches):
            network = self.base.clone(parent=self, name=f"branch_{branch}")
            with nn.intercept_methods(self._interceptor(network.path, branch, shared)):
                logits.append(network(x, train=train))
        stacked = jnp.stack(logits)
        return stacked if joint else prediction(stacked, self.num_outputs)

    def _interceptor(self, path: tuple[str, ...], branch: int, shared: list[jax.Array]) -> Any:
        """Return what lets the first branch compute the shared layers, and the others take them."""
        count = 0

        def intercept(
            call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext
        ) -> Any:
            nonlocal count
            if context.module.path[:-1] != path or context.method_name != "__call__":
                return call(*args, **kwargs)
            number, count = count, count + 1
            if number > self.own_from:
                return call(*args, **kwargs)
            if number == self.own_from:
                if branch == 0:
                    shared.append(args[0])
                return call(without_corner(shared[-1], branch), *args[1:], **kwargs)
            if branch > 0:
                return shared[number]  # has no parameters of its own: it is never called
            shared.append(call(*args, **kwargs))
            return shared[-1]

        return intercept


def prediction(joint: Float[ArrayLike, "b n e"], num_outputs: int) -> Float[jax.Array, "n d"]:
    """Return the mean over branches i of their outputs i, b + i, 2 b + i, ... as logits (n, d).

    >>> prediction(jnp.array([[[1.0, 9.0, 2.0, 9.0]], [[9.0, 3.0, 9.0, 4.0]]]), 2).tolist()
    [[2.0, 3.0]]
    """
    joint = jnp.asarray(joint)
    branches = joint.shape[0]
    logits = jnp.stack([joint[i, :, i::branches] for i in range(branches)]).mean(axis=0)
    return logits[:, 1:] - logits[:, :1] if num_outputs == 1 else logits


def css_loss(
    joint: Float[ArrayLike, "b n e"],
    peer_joint: Float[ArrayLike, "b n e"],
    labels: Int[ArrayLike, " n"],
    *,
    temperature: float | Float[ArrayLike, ""] = TEMPERATURE,
    stop_gradients: bool = False,
) -> Float[jax.Array, " n"]:
    """Return the mean over branches of CE(y b + i, f_i) + alpha T^2 KL(g_i || f_i), unreduced (n,).

    alpha is the network's own mean cross-entropy over the other's. As in the authors' code,
    gradients pass through alpha and through the other network's predictions g.

    Args:
      joint: the network's own f, (branches, n, branches C).
      peer_joint: g, the same shape.
      labels: class indices (n,).
      temperature: T > 0.
      stop_gradients: let none pass through alpha and g.

    >>> z = jnp.zeros((3, 1, 6))
    >>> float(css_loss(z, z, jnp.array([1]))[0])  # log 6
    1.79...
    """
    f, g, y = jnp.asarray(joint), jnp.asarray(peer_joint), jnp.asarray(labels)
    branches = f.shape[0]

    def of_labels(logits: jax.Array) -> jax.Array:
        each = [cross_entropy(logits[i], branches * y + i) for i in range(branches)]
        return jnp.stack(each).mean(axis=0)

    own, other = of_labels(f), of_labels(g)
    alpha = own.mean() / jnp.maximum(other.mean(), jnp.asarray(1e-8, other.dtype))
    if stop_gradients:
        alpha, g = jax.lax.stop_gradient((alpha, g))
    each = [distillation_divergence(f[i], g[i], temperature) for i in range(branches)]
    return own + alpha * jnp.stack(each).mean(axis=0)


def logit_loss(
    logits: Float[ArrayLike, "n d"],
    peer_logits: Float[ArrayLike, "n d"],
    labels: Int[ArrayLike, " n"],
) -> Float[jax.Array, " n"]:
    """Return CE(y, f) + T^2 KL(softmax(g / T) || softmax(f / T)) of both predictions, (n,)."""
    return cross_entropy(logits, labels) + distillation_divergence(logits, peer_logits, TEMPERATURE)


class CssSettings(NamedTuple):
    """The numbers of CSS, as scalars of the compiled step."""

    temperature: ArrayLike


@struct.dataclass
class ChannelSelfSupervision(StatefulMethod):
    """A branched student and a branched peer from another initialisation, on the same batches.

    Its own variables are the peer's.
    """

    has_peer = True

    settings: CssSettings
    stop_gradients: bool = struct.field(pytree_node=False, default=False)

    def init(self, key: jax.Array, fresh: Fresh) -> dict[str, Any]:
        """Return the peer's variables."""
        return dict(fresh(key))

    def losses(self, step: TrainStep, student: Variables, own: Variables) -> StepLosses:
        """Return the sum of the two networks' losses."""
        images, labels, _ = step.examples
        f, student_state = step.forward(student, images, joint=True)
        g, peer_state = step.forward(own, images, joint=True, dropout=PEER_DROPOUT)
        how: dict[str, Any] = {
            "temperature": self.settings.temperature, "stop_gradients": self.stop_gradients
        }  # fmt: skip
        both = css_loss(f, g, labels, **how) + css_loss(g, f, labels, **how)
        return StepLosses(both, student_state, peer_state)


def css_network(networks: Networks, *, branches: int = BRANCHES) -> Branched:
    """Return the branched form of a student, or raise InputError where it has none.

    >>> from kdtheory.models import create
    >>> networks = Networks(
    ...     student=create("mlp8x1", 3), teacher=None, image_shape=(8, 8, 1), num_outputs=3
    ... )
    >>> css_network(networks)
    Traceback (most recent call last):
    kdtheory.errors.InputError: it sets corners of the map inside of a convolutional network to ...
    """
    if branches not in (2, 3, 4):
        raise InputError(f"css has 2 to 4 branches, a corner for each, got {branches}")
    student = networks.student
    own_from = first_own_call(student, networks.image_shape)
    if not hasattr(student, "num_outputs"):
        raise InputError(
            f"it makes a network of more outputs, and {type(student).__name__} has no attribute "
            "num_outputs"
        )
    outputs = branches * max(2, networks.num_outputs)
    return Branched(student.clone(num_outputs=outputs), networks.num_outputs, own_from, branches)


def css(
    *, temperature: float = TEMPERATURE, stop_gradients: bool = False
) -> ChannelSelfSupervision:
    """Return CSS, for a student that `css_network` makes.

    Args:
      temperature: T > 0 of the divergences.
      stop_gradients: let no gradients pass through the other network's predictions and the
        weight; the authors' code lets them.

    Raises:
      InputError: a temperature out of range.
    """
    settings = CssSettings(jnp.asarray(check_temperature(temperature), jnp.float32))
    return ChannelSelfSupervision(settings, stop_gradients)
