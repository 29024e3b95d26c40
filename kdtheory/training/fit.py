"""Train one model on a data set in one call."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh
from jaxtyping import Float

from kdtheory import models
from kdtheory.datasets import AugmentConfig, ImageDataset, Split, StreamedDataset, stream
from kdtheory.errors import InputError
from kdtheory.targets import check_tables
from kdtheory.targets.examples import Examples
from kdtheory.training.batches import steps_per_epoch
from kdtheory.training.chunk import default_steps_per_dispatch, make_train_chunk
from kdtheory.training.evaluate import predict_logits
from kdtheory.training.loop import run
from kdtheory.training.optimizers import OptimizerConfig, make_optimizer
from kdtheory.training.precision import in_precision
from kdtheory.training.state import Supervision, init_state, training_data
from kdtheory.training.streamed import run_streamed
from kdtheory.typing import ArrayLike, Variables

#: How many steps' batches are sent to the device together.
STREAMED_STEPS = 8


class EpochRecord(NamedTuple):
    """What is known at the end of an epoch."""

    epoch: int
    """Counted from one."""
    loss: float
    """Training loss of the epoch's last update."""
    validation_accuracy: float | None
    """None without a validation split, and for the epochs between evaluations."""
    seconds: float
    """Wall-clock time since training began, compilation included."""


class FitResult(NamedTuple):
    """A trained model."""

    variables: Variables
    """For `model.apply`."""
    history: tuple[EpochRecord, ...]


@struct.dataclass
class _LabelLoss:
    """Cross-entropy of the labels; `kdtheory.targets.Labels` offers targets besides."""

    def loss(
        self, logits: Float[ArrayLike, "n d"], step: ArrayLike, examples: Examples
    ) -> Float[jax.Array, " n"]:
        del step
        if logits.shape[-1] == 1:
            return optax.losses.sigmoid_binary_cross_entropy(
                jnp.asarray(logits)[:, 0], jnp.asarray(examples.labels).astype(jnp.float32)
            )
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, examples.labels)


def _accuracy(
    apply_fn: Any, variables: Variables, split: Split, dataset: ImageDataset | StreamedDataset
) -> float | None:
    if not len(split):
        return None
    logits = predict_logits(
        apply_fn, variables, split.images, mean=dataset.mean, std=dataset.std, batch_size=512
    )
    decided = logits.argmax(1) if logits.shape[1] > 1 else logits[:, 0] > 0
    return float(np.mean(decided == split.labels))


def _stream_seed(key: jax.Array) -> int:
    """Return the seed of a stream's order: of the same key that orders batches on the device."""
    return int(jax.random.randint(jax.random.split(key)[0], (), 0, 2**31 - 1))


def fit(
    model: nn.Module | str,
    dataset: ImageDataset | StreamedDataset,
    targets: Supervision | None = None,
    *,
    epochs: int,
    key: jax.Array,
    optimizer: OptimizerConfig | optax.GradientTransformation | None = None,
    batch_size: int = 128,
    augmentation: AugmentConfig | None = None,
    compute_dtype: str = "float32",
    evaluate_every: int = 1,
    mesh: Mesh | None = None,
    streamed: bool | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> FitResult:
    """Train a model and return its variables and history.

    For more control (checkpoints, several networks at once) see `run`, `run_many` and `resumable`,
    of which this is the shortest use.

    Args:
      model: a Flax module `(images, train) -> logits`, or a name for `models.create`.
      dataset: its training split is trained on, its validation split evaluated.
      targets: a target provider, such as `targets.offline(...)`; default: the labels.
      epochs: passes over the training split.
      key: PRNG key of the initial parameters, the batches and the augmentation.
      optimizer: a configuration, or an optax transformation; default: `OptimizerConfig()`.
      batch_size: examples an update.
      augmentation: such as `datasets.default_augmentation(...)`; default: none.
      compute_dtype: "float32" or "bfloat16", see `make_train_chunk`.
      evaluate_every: epochs between two evaluations; the last epoch is always evaluated.
      mesh: devices that share each batch (`data_mesh`).
      streamed: leave the training images on the host, and send each batch to the device
        (`run_streamed`; needs the extra `grain`); default: for a `StreamedDataset`, which knows no
        other way.
      on_epoch: called after each epoch.

    Raises:
      InputError: epochs below 1, a batch larger than the training split, an unknown name, a model
        that is none of this task, a table of logits of other examples.
      NonFiniteLossError: the training diverged.

    >>> from kdtheory.datasets import load
    >>> data = load("synthetic", train_size=32, validation_size=16, test_size=16)
    >>> result = fit("mlp8x1", data, epochs=2, batch_size=16, key=jax.random.key(0))
    >>> [record.epoch for record in result.history], sorted(result.variables)
    ([1, 2], ['params'])
    """
    if epochs < 1 or evaluate_every < 1:
        raise InputError(
            f"epochs and evaluate_every must be at least 1, got {epochs} and {evaluate_every}"
        )
    module = models.create(model, dataset.num_outputs) if isinstance(model, str) else model
    per_epoch = steps_per_epoch(len(dataset.train), batch_size)
    optimizer = OptimizerConfig() if optimizer is None else optimizer
    if isinstance(optimizer, OptimizerConfig):
        optimizer = make_optimizer(optimizer, epochs * per_epoch)
    streamed = isinstance(dataset, StreamedDataset) if streamed is None else streamed
    if not streamed and isinstance(dataset, StreamedDataset):
        raise InputError("the images of a StreamedDataset can only be streamed; leave streamed out")
    chunk = make_train_chunk(
        module,
        optimizer,
        batch_size=batch_size,
        augmentation=augmentation,
        length=default_steps_per_dispatch(per_epoch, limit=STREAMED_STEPS if streamed else None),
        compute_dtype=compute_dtype,
        mesh=mesh,
    )
    init_key, train_key = jax.random.split(key)
    variables = models.init(module, init_key, dataset.image_shape)
    models.check_model(module, variables, dataset.image_shape, dataset.num_outputs)
    check_tables(targets, labels=dataset.train.labels, augmentation=augmentation)
    state = init_state(variables, optimizer)
    apply_fn = in_precision(module.apply, compute_dtype)
    losses: list[float] = []
    history: list[EpochRecord] = []
    began = time.monotonic()
    targets = _LabelLoss() if targets is None else targets
    stops = [epoch * per_epoch for epoch in range(1, epochs + 1)]

    def on_chunk(step: int, loss: float) -> None:
        del step
        losses.append(loss)

    if isinstance(dataset, StreamedDataset) or streamed:
        batches = functools.partial(
            stream, dataset.train, batch_size=batch_size, seed=_stream_seed(train_key),
            process_index=jax.process_index(), process_count=jax.process_count(),
        )  # fmt: skip
        states = run_streamed(
            chunk, state, targets, batches, train_key, mean=dataset.mean, std=dataset.std,
            stops=stops, on_chunk=on_chunk,
        )  # fmt: skip
    else:
        data = training_data(dataset.train, mean=dataset.mean, std=dataset.std)
        states = run(chunk, state, targets, data, train_key, stops=stops, on_chunk=on_chunk)
    for reached in states:
        epoch = int(reached.step) // per_epoch
        accuracy = None
        if epoch % evaluate_every == 0 or epoch == epochs:
            accuracy = _accuracy(apply_fn, reached.variables, dataset.validation, dataset)
        record = EpochRecord(epoch, losses[-1], accuracy, time.monotonic() - began)
        history.append(record)
        if on_epoch is not None:
            on_epoch(record)
    return FitResult(reached.variables, tuple(history))
