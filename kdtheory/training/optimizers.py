"""Optimisers and learning-rate schedules by name, from optax."""

import itertools
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import optax

from kdtheory.arguments import is_number
from kdtheory.errors import InputError, unknown_name

Schedule = Literal["cosine", "constant", "step"]
Optimizer = Literal["sgd", "adam"]


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """An optimiser and its learning-rate schedule."""

    optimizer: Optimizer = "sgd"
    """SGD with Nesterov momentum 0.9, or Adam."""
    learning_rate: float = 0.05
    """The schedule's peak."""
    schedule: Schedule = "cosine"
    """cosine: to zero; step: divided by ten at each of the milestones; constant."""
    milestones: tuple[float, ...] = (0.5, 0.75, 0.9)
    """Of the schedule step: parts of all steps, in (0, 1), rising."""
    warmup: float = 0.05
    """The part of all steps in which the rate rises linearly from zero to the peak."""
    weight_decay: float = 5e-4
    """Coefficient of 0.5 ||w||^2 in the objective (SGD), or of the decoupled decay (Adam)."""
    gradient_clip: float | None = 1.0
    """The loss's gradient is scaled down to this norm where it is longer; None: never."""

    def __post_init__(self) -> None:
        if self.optimizer not in get_args(Optimizer):
            raise unknown_name("optimizer", str(self.optimizer), get_args(Optimizer))
        if self.schedule not in get_args(Schedule):
            raise unknown_name("schedule", str(self.schedule), get_args(Schedule))
        for name, allowed, holds in (
            ("learning_rate", "above 0 and finite", lambda value: 0 < value < math.inf),
            ("warmup", "in [0, 1)", lambda value: 0 <= value < 1),
            ("weight_decay", "at least 0 and finite", lambda value: 0 <= value < math.inf),
            ("gradient_clip", "above 0 and finite, or None", lambda value: 0 < value < math.inf),
        ):
            value = getattr(self, name)
            if value is None and name == "gradient_clip":
                continue
            if not is_number(value) or not holds(value):
                words = name.replace("_", " ")
                raise InputError(f"{words} must be a number {allowed}, got {value!r}")
            # Python's own: JSON, and so a stored run, knows no other.
            object.__setattr__(self, name, float(value))
        if not isinstance(self.milestones, tuple) or not all(map(is_number, self.milestones)):
            raise InputError(f"milestones must be a tuple of numbers, got {self.milestones!r}")
        parts = (0.0, *self.milestones, 1.0)
        if not all(a < b for a, b in itertools.pairwise(parts)):
            raise InputError(
                "milestones must be parts of all steps between 0 and 1, rising, got "
                f"{' '.join(map(str, self.milestones))}"
            )


def make_schedule(config: OptimizerConfig, total_steps: int) -> optax.Schedule:
    """Return the learning rate as a function of the step.

    Args:
      config: names the schedule, its peak and its warm-up.
      total_steps: number of updates of the whole training.

    >>> schedule = make_schedule(OptimizerConfig(learning_rate=1.0, warmup=0.1), 100)
    >>> [round(float(schedule(step)), 2) for step in (0, 10, 55, 100)]
    [0.0, 1.0, 0.5, 0.0]
    """
    peak = config.learning_rate
    warmup_steps = round(config.warmup * total_steps)
    decay_steps = max(total_steps - warmup_steps, 1)
    if config.schedule == "cosine":
        main = optax.cosine_decay_schedule(peak, decay_steps)
    elif config.schedule == "step":
        milestones = {
            max(round(part * total_steps) - warmup_steps, 1): 0.1 for part in config.milestones
        }
        main = optax.piecewise_constant_schedule(peak, milestones)
    else:
        main = optax.constant_schedule(peak)
    if warmup_steps == 0:
        return main
    warmup = optax.linear_schedule(0.0, peak, warmup_steps)
    return optax.join_schedules([warmup, main], [warmup_steps])


def make_optimizer(config: OptimizerConfig, total_steps: int) -> optax.GradientTransformation:
    """Return the optax transformation that the configuration describes.

    >>> import jax.numpy as jnp
    >>> optimizer = make_optimizer(OptimizerConfig(), 10)
    >>> state = optimizer.init({"w": jnp.zeros(2)})
    """
    schedule = make_schedule(config, total_steps)
    if config.optimizer == "adam":
        parts = [optax.adamw(schedule, weight_decay=config.weight_decay)]
    else:
        parts = [
            optax.add_decayed_weights(config.weight_decay),
            optax.sgd(schedule, momentum=0.9, nesterov=True),
        ]
    if config.gradient_clip is not None:
        parts.insert(0, optax.clip_by_global_norm(config.gradient_clip))
    # One part alone keeps its state as it is, and stored states with it.
    return optax.chain(*parts) if len(parts) > 1 else parts[0]


def apply_gradient(
    optimizer: optax.GradientTransformation,
    gradient: Any,
    opt_state: Any,
    params: Any,
    *,
    loss: jax.Array,
) -> tuple[Any, Any]:
    """Return the parameters and the optimiser's state after one update.

    The optimiser may ask for the batch's loss and gradient: transformations such as
    `optax.contrib.reduce_on_plateau` and `optax.polyak_sgd` do.

    Raises:
      InputError: it asks for more, such as the loss as a function (a line search).

    >>> import jax.numpy as jnp
    >>> optimizer, params = optax.polyak_sgd(), jnp.float32(2.0)
    >>> state = optimizer.init(params)
    >>> gradient = loss = jnp.float32(4.0)
    >>> float(apply_gradient(optimizer, gradient, state, params, loss=loss)[0])
    1.0
    """
    with_loss = optax.with_extra_args_support(optimizer)
    try:
        # optax mixes integer step counts and floats: its own business, whatever JAX's strictness.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = with_loss.update(
                gradient, opt_state, params, value=loss, grad=gradient
            )
    except TypeError as error:
        if "required" not in str(error):
            raise
        raise InputError(
            f"this optax transformation asks for more than gradient, parameters and the loss's "
            f"value, which is all that training has: {error}"
        ) from error
    with jax.numpy_dtype_promotion("standard"):
        return optax.apply_updates(params, updates), opt_state
