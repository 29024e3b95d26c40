"""One training step of a student and of what a method trains beside it."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from kdtheory.datasets import AugmentConfig, train_view
from kdtheory.errors import InputError
from kdtheory.targets.examples import Examples
from kdtheory.targets.stateful import StatefulMethod, TrainStep
from kdtheory.training.forward import train_forward
from kdtheory.training.optimizers import apply_gradient
from kdtheory.training.state import Auxiliary, Batch, TrainState
from kdtheory.typing import ApplyFn, ArrayLike


def check_augmentation(method: StatefulMethod, augmentation: AugmentConfig | None) -> None:
    """Raise InputError for mixup: no method with variables of its own says what it is there."""
    if augmentation is not None and augmentation.mixup:
        raise InputError(
            f"{type(method).__name__} needs images that are not mixed: leave mixup out"
        )


def stateful_update(
    state: TrainState,
    method: StatefulMethod,
    batch: Batch,
    step_key: jax.Array,
    *,
    apply_fn: ApplyFn,
    optimizer: optax.GradientTransformation,
    augmentation: AugmentConfig,
    mean: ArrayLike,
    std: ArrayLike,
    shared_out: Callable[[jax.Array], jax.Array],
) -> tuple[TrainState, jax.Array]:
    """Return the state after one step on a batch, and the mean loss.

    The student's and the method's own parameters follow the gradient of one mean loss, each with an
    optimiser's state of its own, so that neither's gradient clips the other's.

    Args:
      state: with the method's variables (`Trainer.initial_state`).
      method: what trains the student.
      batch: as it is stored.
      step_key: PRNG key of the step.
      apply_fn: the student's.
      optimizer: of both.
      augmentation: of the images.
      mean: of the pixels, (c,).
      std: likewise.
      shared_out: splits a batch between devices.
    """
    check_augmentation(method, augmentation)

    def view(number: int) -> jax.Array:
        images = train_view(
            step_key, batch.images, mean=mean, std=std, config=augmentation, crop=number
        ).images
        return shared_out(images)

    step = TrainStep(
        forward=functools.partial(train_forward, apply_fn, step=state.step, step_key=step_key),
        examples=Examples(view(0), jnp.asarray(batch.labels), jnp.asarray(batch.indices)),
        view=view,
        number=state.step + 1,
        # Far from dropout's numbers and the augmentation's.
        key=jax.random.fold_in(step_key, 1000),
    )
    own = state.auxiliary
    assert isinstance(own, Auxiliary)

    def objective(trained: tuple[Any, Any]) -> tuple[jax.Array, tuple[Any, Any]]:
        params, own_params = trained
        student = {"params": params, **state.model_state}
        losses, student_state, own_state = method.losses(
            step, student, {**own.variables, "params": own_params}
        )
        return losses.mean(), (student_state, own_state)

    trained = (state.params, own.variables["params"])
    (loss, (model_state, own_state)), gradients = jax.value_and_grad(objective, has_aux=True)(
        trained
    )

    moved = functools.partial(apply_gradient, optimizer, loss=loss)
    params, opt_state = moved(gradients[0], state.opt_state, trained[0])
    own_params, own_opt_state = moved(gradients[1], own.opt_state, trained[1])
    auxiliary = Auxiliary({**own.variables, **own_state, "params": own_params}, own_opt_state)
    return TrainState(state.step + 1, params, model_state, opt_state, auxiliary), loss
