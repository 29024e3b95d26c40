"""Train one model on a data set in one call."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import optax
from jax.sharding import Mesh

from kdtheory import models
from kdtheory.arguments import check_count, check_key
from kdtheory.datasets import AugmentConfig, ImageDataset, Split
from kdtheory.datasets.streamed import StreamedDataset
from kdtheory.errors import InputError
from kdtheory.targets import Labels, TargetProvider
from kdtheory.targets.decisions import accuracy
from kdtheory.targets.tabulated import check_tables
from kdtheory.training.evaluate import predict_logits
from kdtheory.training.optimizers import OptimizerConfig
from kdtheory.training.trainer import Trainer
from kdtheory.typing import Variables


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


def _accuracy(
    apply_fn: Any, variables: Variables, split: Split, dataset: ImageDataset | StreamedDataset
) -> float | None:
    if not len(split):
        return None
    logits = predict_logits(
        apply_fn, variables, split.images, mean=dataset.mean, std=dataset.std, batch_size=512
    )
    return accuracy(logits, split.labels)


def _check_kinds(
    dataset: Any, targets: Any, optimizer: Any, augmentation: Any, mesh: Any = None
) -> None:
    """Raise InputError for an argument of another kind."""
    for name, value, kinds, wanted in (
        ("dataset", dataset, (ImageDataset, StreamedDataset), "datasets.load(...)"),
        ("targets", targets, (TargetProvider,), "a provider, such as targets.offline(...)"),
        ("optimizer", optimizer, (OptimizerConfig, optax.GradientTransformation),
         "OptimizerConfig(optimizer=...) or an optax transformation"),
        ("augmentation", augmentation, (AugmentConfig,), "datasets.AugmentConfig(...)"),
        ("mesh", mesh, (Mesh,), "training.data_mesh(devices)"),
    ):  # fmt: skip
        if not isinstance(value, kinds) and (value is not None or name == "dataset"):
            raise InputError(f"{name} must be {wanted}, got {type(value).__name__}")


def _start(given: Variables | str | Path, abstract: Variables) -> Variables:
    """Return the arrays that a training starts from; warn if they are not all of the model's."""
    source = "variables"
    if isinstance(given, str | Path):
        source, given = str(given), models.read_variables(Path(given))
    matched = models.match_variables(abstract, given, source)
    if matched.unmatched:
        warnings.warn(f"{source}: {matched.report}; the rest is initialised", stacklevel=3)
    return given


def fit(
    model: nn.Module | str,
    dataset: ImageDataset | StreamedDataset,
    targets: TargetProvider | None = None,
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
    variables: Variables | str | Path | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> FitResult:
    """Train a model and return its variables and history.

    For more control (several networks at once, other points) see `Trainer`, of which this is the
    shortest use.

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
        (needs the extra `grain`; the batches are the same); default: for a `StreamedDataset`, which
        knows no other way.
      variables: pretrained parameters to start from: a pytree of arrays, or a file or folder that
        `models.read_variables` reads; default: initialised by `key`.
      on_epoch: called after each epoch.

    Raises:
      InputError: epochs that are no count, a batch larger than the training split, an unknown
        name, a model that is none of this task, a table of logits of other examples, no PRNG key.
      NonFiniteLossError: the training diverged.

    Warns:
      UserWarning: some of the model's arrays are not among `variables`, and are initialised; the
        message names them.

    >>> from kdtheory.datasets import load
    >>> data = load("synthetic", train_size=32, validation_size=16, test_size=16)
    >>> result = fit("mlp8x1", data, epochs=2, batch_size=16, key=jax.random.key(0))
    >>> [record.epoch for record in result.history], sorted(result.variables)
    ([1, 2], ['params'])
    """
    _check_kinds(dataset, targets, optimizer, augmentation, mesh)
    check_count("evaluate_every", evaluate_every)
    check_key(key)
    module = models.create(model, dataset.num_outputs) if isinstance(model, str) else model
    abstract = models.abstract_variables(module, dataset.image_shape)
    models.check_model(module, abstract, dataset.image_shape, dataset.num_outputs)
    check_tables(targets, labels=dataset.train.labels, augmentation=augmentation)
    streamed = isinstance(dataset, StreamedDataset) if streamed is None else streamed
    if not streamed and isinstance(dataset, StreamedDataset):
        raise InputError("the images of a StreamedDataset can only be streamed; leave streamed out")
    start = None if variables is None else _start(variables, abstract)
    trainer = Trainer(
        module=module,
        image_shape=dataset.image_shape,
        examples=len(dataset.train),
        epochs=epochs,
        batch_size=batch_size,
        optimizer=OptimizerConfig() if optimizer is None else optimizer,
        augmentation=augmentation,
        compute_dtype=compute_dtype,
        mesh=mesh,
        streamed=streamed,
        variables=start,
    )
    init_key, train_key = jax.random.split(key)
    losses: list[float] = []
    history: list[EpochRecord] = []
    began = time.monotonic()

    def on_step(step: int, loss: float) -> None:
        del step
        losses.append(loss)

    for step, reached in trainer.train(
        Labels(dataset.num_outputs) if targets is None else targets,
        trainer.place(dataset.train, mean=dataset.mean, std=dataset.std),
        init_key=init_key,
        train_key=train_key,
        points=[epoch * trainer.epoch_steps for epoch in range(1, epochs + 1)],
        on_step=on_step,
    ):
        epoch = step // trainer.epoch_steps
        validated = None
        if epoch % evaluate_every == 0 or epoch == epochs:
            validated = _accuracy(trainer.apply_fn, reached, dataset.validation, dataset)
        record = EpochRecord(epoch, losses[-1], validated, time.monotonic() - began)
        history.append(record)
        if on_epoch is not None:
            on_epoch(record)
    return FitResult(reached, tuple(history))
