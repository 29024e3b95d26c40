"""One training step of a student and of what a method trains beside it."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from kdtheory.datasets import AugmentConfig, train_view
from kdtheory.errors import InputError
from kdtheory.targets.examples import Examples
from kdtheory.targets.stateful import StatefulMethod, TrainStep
from kdtheory.training.kept_inputs import kept_convolution_inputs
from kdtheory.training.optimizers import update_of
from kdtheory.training.state import Auxiliary, Batch, TrainState
from kdtheory.typing import ApplyFn, ArrayLike, Variables


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

    def forward(
        variables: Variables, images: jax.Array, dropout: int = 1, **arguments: Any
    ) -> tuple[jax.Array, dict[str, Any]]:
        on_cpu = jax.default_backend() == "cpu"
        with kept_convolution_inputs(state.step) if on_cpu else contextlib.nullcontext():
            logits, updated = apply_fn(
                variables,
                images,
                train=True,
                mutable=[name for name in variables if name != "params"],
                rngs={"dropout": jax.random.fold_in(step_key, dropout)},
                **arguments,
            )
        return logits, dict(updated)

    step = TrainStep(
        forward=forward,
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

    def moved(gradient: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
        # optax mixes integer step counts and floats: its own business.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = update_of(optimizer, gradient, opt_state, params, loss=loss)
            return optax.apply_updates(params, updates), opt_state

    params, opt_state = moved(gradients[0], state.opt_state, trained[0])
    own_params, own_opt_state = moved(gradients[1], own.opt_state, trained[1])
    auxiliary = Auxiliary({**own.variables, **own_state, "params": own_params}, own_opt_state)
    return TrainState(state.step + 1, params, model_state, opt_state, auxiliary), loss
