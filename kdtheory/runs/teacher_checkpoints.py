"""Which checkpoints a teacher has, and what is done to it: stopped early, disturbed, thinned."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from kdtheory.errors import InputError
from kdtheory.training import Trainer
from kdtheory.typing import Variables


def teacher_points(trainer: Trainer, checkpoints: int) -> list[int]:
    """Return the steps of a teacher's evenly spaced checkpoints, the last step among them.

    They are at the ends of epochs if there are at least as many epochs as checkpoints; otherwise
    at multiples of the steps of a compiled program, at most one a program.
    """
    if checkpoints <= trainer.epochs:
        unit, units = trainer.epoch_steps, trainer.epochs
    else:
        unit, units = trainer.length, trainer.total_steps // trainer.length
    m = min(checkpoints, units)
    return [round(i * units / m) * unit for i in range(1, m + 1)]


def given_points(checkpoints: int, total_steps: int, source: str) -> tuple[int, ...]:
    """Return the steps of given checkpoints, evenly spread over a student's T steps.

    Raises:
      InputError: more checkpoints than steps to spread them over.

    >>> given_points(2, 10, "teacher.npy")
    (5, 10)
    """
    m = checkpoints
    if m > total_steps:
        raise InputError(
            f"{source} has {m} checkpoints for a student of {total_steps} steps; give fewer, or "
            "their steps"
        )
    return tuple(round(i * total_steps / m) for i in range(1, m + 1))


def kept_points(points: Sequence[int], total_steps: int, stop: float) -> list[int]:
    """Return the checkpoints of a teacher that is stopped early: those up to `stop * total_steps`.

    The first one is always kept. Training and its learning-rate schedule are those of the whole
    teacher: it is stopped, not trained for less.

    Args:
      points: the checkpoints' steps, increasing.
      total_steps: steps of the whole training.
      stop: in (0, 1].

    >>> kept_points([10, 20, 30, 40], 40, 0.5), kept_points([10, 20], 20, 0.1)
    ([10, 20], [10])
    """
    # 0.29 * 100 is below 29 in floating point, and the checkpoint at 29 is meant.
    last = stop * total_steps * (1 + 1e-9)
    return [point for point in points if point <= last] or list(points[:1])


def thinned(points: Sequence[int], count: int | None) -> tuple[int, ...]:
    """Return the positions of `count` evenly spaced checkpoints, the last among them; None for all.

    Raises:
      InputError: more than there are.

    >>> thinned([10, 20, 30, 40], 2), thinned([10, 20], None)
    ((1, 3), (0, 1))
    """
    m = len(points)
    if count is None:
        return tuple(range(m))
    if count > m:
        raise InputError(
            f"online_checkpoints must be at most the teacher's {m} checkpoints, got {count}"
        )
    return tuple(round(i * m / count) - 1 for i in range(1, count + 1))


def spread_steps(steps: Sequence[int], until: float, total_steps: int) -> tuple[int, ...]:
    """Return the student's last step of each checkpoint, spread over a part of its training.

    Checkpoint i of step t_i teaches until t_i / t_m * until * T, the last one until T.

    Args:
      steps: of the teacher's checkpoints, t_1 < ... < t_m.
      until: in (0, 1].
      total_steps: T, of the student.

    >>> spread_steps([10, 20, 30, 40], 0.5, 800)
    (100, 200, 300, 800)
    """
    spread = [round(step / steps[-1] * until * total_steps) for step in steps]
    return (*spread[:-1], total_steps)


@jax.jit
def _perturbed_params(params: Any, scale: float | jax.Array, key: Key[Array, ""]) -> Any:
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    noisy = []
    for leaf, leaf_key in zip(leaves, keys, strict=True):
        deviation = jnp.asarray(scale, leaf.dtype) * jnp.sqrt(jnp.mean(jnp.square(leaf)))
        noisy.append(leaf + deviation * jax.random.normal(leaf_key, leaf.shape, leaf.dtype))
    return jax.tree.unflatten(structure, noisy)


def perturbed(variables: Variables, *, scale: float, key: Key[Array, ""]) -> dict[str, Any]:
    """Return variables with Gaussian noise on every parameter array.

    w + scale * rms(w) * N(0, 1) for each array w of "params", rms(w) = sqrt(mean(w^2)); what is no
    parameter (BatchNorm's statistics) stays.

    Args:
      variables: a model's variables.
      scale: standard deviation of the noise, as a multiple of each array's root mean square.
      key: PRNG key of the noise.

    Returns:
      Variables of the same shapes and dtypes.

    >>> noisy = perturbed({"params": {"w": jnp.ones(1000)}}, scale=0.5, key=jax.random.key(0))
    >>> round(float(jnp.std(noisy["params"]["w"])), 1)
    0.5
    """
    return {**variables, "params": _perturbed_params(variables["params"], scale, key)}
