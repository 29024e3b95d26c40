"""Target providers: given a step and examples, the targets that supervise a student.

Every provider is a pytree of arrays, so it can be passed into a compiled training step: another
teacher, checkpoint, temperature or mixture of the same shapes needs no new compilation.

"Online" here is distillation from the checkpoints of a teacher that was trained before
(Harutyunyan et al., ICLR 2023, Algorithm 1). It is not mutual co-training of two networks, which
other libraries also call online distillation.
"""

from abc import abstractmethod
from typing import get_args

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Float, Int

from kdtheory.datasets import encode_labels
from kdtheory.errors import unknown_name
from kdtheory.targets.arguments import (
    check_alike,
    check_alpha,
    check_logits,
    check_outputs,
    check_temperature,
    check_variables,
)
from kdtheory.targets.examples import Examples
from kdtheory.targets.losses import cross_entropy, distillation_loss
from kdtheory.targets.provider import Form, TargetProvider
from kdtheory.targets.trajectory import Trajectory, stack
from kdtheory.typing import ApplyFn, ArrayLike, Variables


def soft_targets(
    logits: Float[ArrayLike, "n d"], temperature: float | Float[ArrayLike, ""] = 1.0
) -> Float[jax.Array, "n d"]:
    """Return temperature-scaled predictions as targets.

    softmax(z / tau) for d > 1, in [0, 1]; 2 sigmoid(z / tau) - 1 = tanh(z / (2 tau)) for one logit,
    in [-1, 1]. Source: Harutyunyan et al., ICLR 2023, section 2.

    Raises:
      InputError: where it is known, a temperature that is not above 0 and finite.

    >>> soft_targets(jnp.array([[0.0]])).tolist(), soft_targets(jnp.zeros((1, 2)), 4.0).tolist()
    ([[0.0]], [[0.5, 0.5]])
    """
    logits = jnp.asarray(logits)
    scaled = logits / jnp.asarray(check_temperature(temperature), logits.dtype)
    if logits.shape[-1] == 1:
        return jnp.tanh(scaled / jnp.asarray(2, logits.dtype))
    return jax.nn.softmax(scaled, axis=-1)


def mixture_targets(
    logits: Float[ArrayLike, "n d"],
    labels: Int[ArrayLike, " n"],
    *,
    temperature: float | Float[ArrayLike, ""] = 1.0,
    alpha: float | Float[ArrayLike, ""] = 1.0,
    form: Form = "probabilities",
) -> Float[jax.Array, "n d"]:
    """Return alpha softmax(g / tau) + (1 - alpha) one-hot(y): a teacher's targets and the labels'.

    Args:
      logits: the teacher's logits g, (n, d).
      labels: class indices (n,).
      temperature: tau > 0.
      alpha: weight of the teacher, in [0, 1].
      form: "probabilities" (`soft_targets`), or "logits" for g / tau in their place.

    Raises:
      InputError: another form, labels without a class or, where they are known, a temperature or an
        alpha out of range.

    >>> mixture_targets(jnp.array([[0.0]]), jnp.array([1]), alpha=0.5).tolist()
    [[0.5]]
    """
    if form not in get_args(Form):
        raise unknown_name("form", form, get_args(Form))
    logits = jnp.asarray(logits)
    teacher = (
        soft_targets(logits, temperature)
        if form == "probabilities"
        else logits / jnp.asarray(check_temperature(temperature), logits.dtype)
    )
    encoded = encode_labels(labels, logits.shape[-1]).astype(logits.dtype)
    alpha = jnp.asarray(check_alpha(alpha), logits.dtype)
    return alpha * teacher + (jnp.ones_like(alpha) - alpha) * encoded


@struct.dataclass
class Labels(TargetProvider):
    """The data set's labels: one-hot, or -1 and +1 for a binary task."""

    num_outputs: int = struct.field(pytree_node=False)

    def targets(
        self, step: Int[ArrayLike, ""] | int, examples: Examples, *, form: Form = "probabilities"
    ) -> Float[jax.Array, "n d"]:
        """Return the encoded labels; they have no logits, so both forms are the same."""
        del step, form
        return encode_labels(examples.labels, self.num_outputs)

    def loss(
        self, logits: Float[ArrayLike, "n d"], step: Int[ArrayLike, ""] | int, examples: Examples
    ) -> Float[jax.Array, " n"]:
        """Return the cross-entropy of the labels."""
        del step
        check_outputs(logits, self.num_outputs)
        return cross_entropy(logits, examples.labels)


@struct.dataclass
class RandomLabels(TargetProvider):
    """The control: a uniformly random class for each example, the same at every step."""

    key: jax.Array
    num_outputs: int = struct.field(pytree_node=False)

    def labels(self, indices: Int[ArrayLike, " n"]) -> Int[jax.Array, " n"]:
        """Return the random class of each position in the training split."""
        classes = max(self.num_outputs, 2)

        def draw(index: jax.Array) -> jax.Array:
            return jax.random.randint(jax.random.fold_in(self.key, index), (), 0, classes)

        return jax.vmap(draw)(jnp.asarray(indices))

    def targets(
        self, step: Int[ArrayLike, ""] | int, examples: Examples, *, form: Form = "probabilities"
    ) -> Float[jax.Array, "n d"]:
        """Return the encoded random labels."""
        del step, form
        return encode_labels(self.labels(examples.indices), self.num_outputs)

    def loss(
        self, logits: Float[ArrayLike, "n d"], step: Int[ArrayLike, ""] | int, examples: Examples
    ) -> Float[jax.Array, " n"]:
        """Return the cross-entropy of the random labels."""
        del step
        check_outputs(logits, self.num_outputs)
        return cross_entropy(logits, self.labels(examples.indices))


class TeacherLogits(TargetProvider):
    """What a provider with a teacher's logits, a temperature and alpha says with them."""

    temperature: Float[ArrayLike, ""]
    alpha: Float[ArrayLike, ""]

    @abstractmethod
    def logits(self, step: Int[ArrayLike, ""] | int, examples: Examples) -> Float[jax.Array, "n d"]:
        """Return the teacher's logits g (n, d), before the temperature."""

    def targets(
        self, step: Int[ArrayLike, ""] | int, examples: Examples, *, form: Form = "probabilities"
    ) -> Float[jax.Array, "n d"]:
        """Return the mixture of the teacher's targets (or of its logits g / tau) and the labels."""
        return mixture_targets(
            self.logits(step, examples),
            examples.labels,
            temperature=self.temperature,
            alpha=self.alpha,
            form=form,
        )

    def loss(
        self, logits: Float[ArrayLike, "n d"], step: Int[ArrayLike, ""] | int, examples: Examples
    ) -> Float[jax.Array, " n"]:
        """Return (1 - alpha) CE(y, f) + alpha tau^2 KL(softmax(g / tau) || softmax(f / tau))."""
        return distillation_loss(
            logits,
            self.logits(step, examples),
            examples.labels,
            alpha=self.alpha,
            temperature=self.temperature,
        )


@struct.dataclass
class Teacher(TeacherLogits):
    """Temperature-scaled predictions of a teacher, mixed with the labels.

    The targets are alpha softmax(g / tau) + (1 - alpha) one-hot(y), with g from the checkpoint that
    the trajectory gives for the step. The teacher runs in inference mode on the very images that
    the student sees.
    """

    trajectory: Trajectory
    temperature: Float[ArrayLike, ""]
    alpha: Float[ArrayLike, ""]
    apply_fn: ApplyFn = struct.field(pytree_node=False)

    def aligned(self, length: int) -> "Teacher":
        """Return the same teacher, prepared for `over`: see `Trajectory.aligned`."""
        return self.replace(trajectory=self.trajectory.aligned(length))  # type: ignore[attr-defined]

    def over(self, step: Int[ArrayLike, ""] | int, length: int) -> "Teacher":
        """Return the same teacher for `length` updates from `step` on: see `Trajectory.over`."""
        return self.replace(trajectory=self.trajectory.over(step, length))  # type: ignore[attr-defined]

    def logits(self, step: Int[ArrayLike, ""] | int, examples: Examples) -> Float[jax.Array, "n d"]:
        """Return the teacher's logits g (n, d), before the temperature."""
        given = self.apply_fn(self.trajectory.at(step), examples.images)
        return check_logits(given, "a teacher's apply function")


def _teacher(
    apply_fn: ApplyFn, trajectory: Trajectory, temperature: float, alpha: float
) -> Teacher:
    check_variables(trajectory.variables, apply_fn)
    return Teacher(
        trajectory,
        jnp.asarray(check_temperature(temperature), jnp.float32),
        jnp.asarray(check_alpha(alpha), jnp.float32),
        apply_fn,
    )


def online(
    apply_fn: ApplyFn, trajectory: Trajectory, *, temperature: float = 1.0, alpha: float = 1.0
) -> Teacher:
    """Return the online teacher: at update t the first checkpoint with t_i >= t, then the last.

    Source: Harutyunyan et al., ICLR 2023, Algorithm 1.

    Args:
      apply_fn: the teacher's (variables, images) -> logits in inference mode.
      trajectory: its checkpoints.
      temperature: tau > 0.
      alpha: weight of the teacher beside the labels, in [0, 1].

    Raises:
      InputError: a temperature or a weight out of range, or variables that are none or not finite.

    >>> line = stack([{"params": jnp.ones((1, 1))}], [5])
    >>> teacher = online(lambda variables, x: x @ variables["params"], line, temperature=4.0)
    >>> examples = Examples(jnp.ones((2, 1)), jnp.array([0, 1]), jnp.arange(2))
    >>> teacher.logits(3, examples).tolist()
    [[1.0], [1.0]]
    """
    return _teacher(apply_fn, trajectory, temperature, alpha)


def offline(
    apply_fn: ApplyFn, variables: Variables, *, temperature: float = 1.0, alpha: float = 1.0
) -> Teacher:
    """Return the offline teacher: the same, final, checkpoint at every step.

    Args:
      apply_fn: the teacher's (variables, images) -> logits in inference mode.
      variables: the final checkpoint, such as `trajectory.final()`.
      temperature: tau > 0.
      alpha: weight of the teacher beside the labels, in [0, 1].

    Raises:
      InputError: a temperature or a weight out of range, or variables that are none or not finite.
    """
    check_variables(variables, apply_fn)
    return _teacher(apply_fn, stack([variables], [0]), temperature, alpha)


def self_distillation(
    apply_fn: ApplyFn, variables: Variables, *, temperature: float = 1.0, alpha: float = 1.0
) -> Teacher:
    """Return the student's own earlier round as its teacher (born-again networks).

    Args:
      apply_fn: the student's (variables, images) -> logits in inference mode.
      variables: the student after its earlier round.
      temperature: tau > 0.
      alpha: weight of the teacher beside the labels, in [0, 1].

    Raises:
      InputError: a temperature or a weight out of range, or variables that are none or not finite.
    """
    return offline(apply_fn, variables, temperature=temperature, alpha=alpha)


def centre(targets: Float[ArrayLike, "n d"]) -> Float[jax.Array, "n d"]:
    """Return targets with the mean over the examples taken off each output.

    >>> centre(jnp.array([[1.0], [3.0]])).tolist()
    [[-1.0], [1.0]]
    """
    targets = jnp.asarray(targets)
    return targets - targets.mean(axis=0, keepdims=True)


def residual(
    targets: Float[ArrayLike, "n d"], initial_logits: Float[ArrayLike, "..."]
) -> Float[jax.Array, "n d"]:
    """Return Y - f(x; w0): what the linearised student has to add to its initial predictions.

    >>> residual(jnp.array([[1.0]]), jnp.array([[0.25]])).tolist()
    [[0.75]]
    """
    check_alike("targets and initial logits", targets, initial_logits)
    return jnp.asarray(targets) - jnp.asarray(initial_logits)
