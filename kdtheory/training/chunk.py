"""Several training steps of one network, or of several at once, as one compiled program."""

import contextlib
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kdtheory.datasets import AugmentConfig, mix_losses, train_view
from kdtheory.datasets.augment import NO_AUGMENTATION
from kdtheory.errors import InputError
from kdtheory.models.requirements import require_train_argument
from kdtheory.targets.examples import Examples
from kdtheory.targets.stateful import StatefulMethod
from kdtheory.training.batches import batch_indices, epoch_order, step_key
from kdtheory.training.forward import train_forward
from kdtheory.training.optimizers import apply_gradient
from kdtheory.training.packed import packed_convolutions
from kdtheory.training.precision import in_precision
from kdtheory.training.stacking import Stacked
from kdtheory.training.state import Batch, HostBatches, TrainingData, TrainState
from kdtheory.training.stateful_step import stateful_update
from kdtheory.typing import ArrayLike

#: How several networks run together: one program after another without waiting between them, one
#: program over stacked networks (`jax.vmap`), or that with `packed_convolutions`.
Together = Literal["interleaved", "vmap", "packed"]


def default_steps_per_dispatch(
    epoch_steps: int, backend: str | None = None, *, limit: int | None = None
) -> int:
    """Return how many steps one compiled program makes: a divisor of an epoch's steps.

    On CPU the steps are unrolled, since XLA's CPU convolutions inside a loop lose their threads and
    their fast kernels (measured on two cores, ResNet-20, batch 128: 294 ms a step unrolled by 8,
    364 ms one by one, 17,000 ms in a scan); 4 keeps the compilation short. On accelerators a scan
    runs a whole epoch, or at most `limit` steps (where a program's batches come from the host).

    >>> default_steps_per_dispatch(32, "cpu"), default_steps_per_dispatch(390, "gpu")
    (4, 390)
    >>> default_steps_per_dispatch(390, "gpu", limit=16)
    15
    """
    most = 4 if (backend or jax.default_backend()) == "cpu" else epoch_steps
    most = most if limit is None else min(most, limit)
    return max(k for k in range(1, most + 1) if epoch_steps % k == 0)


class TrainChunk(NamedTuple):
    """Several training steps in one compiled program; for `run`, `run_many` and `run_streamed`."""

    length: int
    """How many."""
    batch_size: int
    """Examples a step."""
    advance: Callable[..., tuple[TrainState, jax.Array]]
    """(state, supervision, data, key, order=None) -> (state `length` steps on, mean loss of each
    step). The state's step must be a multiple of `length`; the order is the epoch's, from
    `EpochOrders`, and made by the program where it is None."""
    advance_many: Callable[..., tuple[TrainState, jax.Array]]
    """(stacked state, stacked supervision, data, keys (s,), packed, orders=None) -> (stacked state,
    losses (s, length)). The stacked state's step is one for all."""
    advance_on: Callable[[TrainState, Any, HostBatches, jax.Array], tuple[TrainState, jax.Array]]
    """(state, supervision, batches, key) -> (state `length` steps on, mean loss of each step): on
    batches that are given, instead of drawn from a split on the device."""
    mesh: Mesh | None = None
    """The devices that share each batch."""


def make_train_chunk(
    model: Any,
    optimizer: optax.GradientTransformation,
    *,
    batch_size: int,
    augmentation: AugmentConfig | None = None,
    length: int = 1,
    unroll: bool | None = None,
    compute_dtype: str = "float32",
    mesh: Mesh | None = None,
) -> TrainChunk:
    """Compile `length` training steps into one program.

    Batches are drawn, augmented and normalised inside the program, from the whole split as uint8 on
    the device. The supervision is an argument, not a constant: another teacher or another
    temperature of the same shapes runs the same compiled program. The state is donated.

    Args:
      model: a Flax module `(images, train) -> logits`; dropout draws from the key too.
      optimizer: an optax transformation.
      batch_size: examples a step, over all devices.
      augmentation: crop, flip, cutout and mixup of each batch, or None. With mixup the loss is
        that of the supervision for each row and for its partner, mixed (`datasets.mix_losses`).
      length: steps for each dispatch.
      unroll: straight-line code instead of a loop; default: on CPU, where loops slow convolutions.
      compute_dtype: of the model's products: "float32", or "bfloat16" with parameters, BatchNorm's
        statistics, the loss and the optimiser in float32. The teacher's is its provider's own
        (`in_precision`).
      mesh: devices that share each batch (`data_mesh`); the numbers are those of one device, to
        rounding: BatchNorm sees the whole batch.

    Returns:
      The compiled program, for `run`, `run_many` and `run_streamed`.

    Raises:
      InputError: a module without the argument `train`, an unknown compute_dtype, or a batch that
        the mesh's devices cannot share evenly.
    """
    if isinstance(model, nn.Module):
        require_train_argument(model)
    on_cpu = jax.default_backend() == "cpu"
    if unroll is None:
        unroll = on_cpu
    if mesh is not None and batch_size % mesh.size:
        raise InputError(
            f"batch size must be a multiple of the mesh's {mesh.size} devices, got {batch_size}"
        )
    apply_fn = in_precision(model.apply, compute_dtype)

    def shared_out(values: jax.Array) -> jax.Array:
        """Split a batch between the mesh's devices."""
        if mesh is None:
            return values
        batch_axis = PartitionSpec(mesh.axis_names)
        return jax.lax.with_sharding_constraint(values, NamedSharding(mesh, batch_axis))

    def one_step(
        state: TrainState,
        supervision: Any,
        data: TrainingData,
        key: jax.Array,
        order: jax.Array | None,
    ) -> tuple[TrainState, jax.Array]:
        indices = shared_out(
            batch_indices(
                jax.random.split(key)[0],
                state.step,
                num_examples=data.images.shape[0],
                batch_size=batch_size,
                order=order,
            )
        )
        batch = Batch(data.images[indices], data.labels[indices], indices)
        return update(state, supervision, batch, data.mean, data.std, key)

    def update(
        state: TrainState,
        supervision: Any,
        batch: Batch,
        mean: ArrayLike,
        std: ArrayLike,
        key: jax.Array,
    ) -> tuple[TrainState, jax.Array]:
        """Make one step on a batch."""
        own_key = step_key(key, state.step)
        changed = augmentation or NO_AUGMENTATION
        if isinstance(supervision, StatefulMethod):
            return stateful_update(
                state, supervision, batch, own_key, apply_fn=apply_fn, optimizer=optimizer,
                augmentation=changed, mean=mean, std=std, shared_out=shared_out,
            )  # fmt: skip
        view = train_view(own_key, batch.images, mean=mean, std=std, config=changed)
        images = shared_out(view.images)
        labels, indices = jnp.asarray(batch.labels), jnp.asarray(batch.indices)
        examples = Examples(images, labels, indices)

        def objective(params: Any) -> tuple[jax.Array, dict[str, Any]]:
            variables = {"params": params, **state.model_state}
            logits, updated = train_forward(
                apply_fn, variables, images, step=state.step, step_key=own_key
            )
            losses = supervision.loss(logits, state.step + 1, examples)
            if view.partner is not None:
                # A teacher sees the same images in both: the compiler evaluates it once.
                partner = Examples(images, labels[view.partner], indices[view.partner])
                second = supervision.loss(logits, state.step + 1, partner)
                losses = mix_losses(view, losses, second)
            return losses.mean(), updated

        (loss, model_state), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        params, opt_state = apply_gradient(
            optimizer, gradient, state.opt_state, state.params, loss=loss
        )
        return TrainState(state.step + 1, params, model_state, opt_state), loss

    def advance(
        state: TrainState,
        supervision: Any,
        data: TrainingData,
        key: jax.Array,
        order: jax.Array | None = None,
    ) -> tuple[TrainState, jax.Array]:
        count = data.images.shape[0]
        # A chunk that lies in one epoch needs one permutation.
        if order is None and (count // batch_size) % length == 0:
            epoch = state.step // jnp.int32(count // batch_size)
            order = epoch_order(jax.random.split(key)[0], epoch, count)
        supervision = supervision.over(state.step + 1, length)
        return repeat(lambda state, _: one_step(state, supervision, data, key, order), state, None)

    def advance_on(
        state: TrainState, supervision: Any, batches: HostBatches, key: jax.Array
    ) -> tuple[TrainState, jax.Array]:
        supervision = supervision.over(state.step + 1, length)

        def on_batch(state: TrainState, batch: Batch) -> tuple[TrainState, jax.Array]:
            return update(state, supervision, batch, batches.mean, batches.std, key)

        return repeat(on_batch, state, batches.batches)

    def repeat(
        step: Callable[[TrainState, Any], tuple[TrainState, jax.Array]],
        state: TrainState,
        inputs: Any,
    ) -> tuple[TrainState, jax.Array]:
        """Make `length` steps, each with its row of the inputs."""
        if not unroll:
            return jax.lax.scan(step, state, inputs, length=length)
        # Not `scan(unroll=True)`: a scan of one step still runs as a loop, in 56 ms where
        # straight-line code takes 5 (ResNet-8, 64 images of 8 x 8, two cores, JAX 0.10.2).
        losses = []
        for i in range(length):
            state, loss = step(state, jax.tree.map(lambda values: values[i], inputs))  # noqa: B023
            losses.append(loss)
        return state, jnp.stack(losses)

    #: One step for all: an online teacher's checkpoint is then the same for all networks.
    axes = TrainState(None, 0, 0, 0, 0)  # type: ignore[arg-type]

    def advance_many(
        states: TrainState,
        supervision: Stacked,
        data: TrainingData,
        keys: jax.Array,
        packed: bool,
        orders: jax.Array | None = None,
    ) -> tuple[TrainState, jax.Array]:
        def one(
            state: TrainState, own: list[jax.Array], key: jax.Array, order: jax.Array | None
        ) -> tuple[TrainState, jax.Array]:
            return advance(state, supervision.with_own(own), data, key, order)

        with packed_convolutions() if packed else contextlib.nullcontext():
            return jax.vmap(one, in_axes=(axes, 0, 0, 0), out_axes=(axes, 0))(
                states, supervision.own, keys, orders
            )

    everywhere = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    return TrainChunk(
        length,
        batch_size,
        jax.jit(advance, donate_argnums=0, out_shardings=everywhere),
        jax.jit(advance_many, donate_argnums=0, static_argnums=4, out_shardings=everywhere),
        jax.jit(advance_on, donate_argnums=0, out_shardings=everywhere),
        mesh,
    )
