"""The trainers of a run's networks: what its configuration says of their training."""

import dataclasses

import jax
from jax.sharding import Mesh

from kdtheory import models
from kdtheory.datasets import AugmentConfig, ImageDataset, default_augmentation
from kdtheory.datasets.augment import NO_AUGMENTATION
from kdtheory.errors import InputError
from kdtheory.methods.pair import Networks
from kdtheory.runs.config import RunConfig
from kdtheory.training import OptimizerConfig, Trainer, data_mesh
from kdtheory.typing import Variables


def augmentation_of(
    config: RunConfig, dataset: ImageDataset, *, teacher: bool = False
) -> AugmentConfig | None:
    """Return the data set's usual augmentation, cutout and mixup, or None where none is wanted.

    Args:
      config: the run.
      dataset: its data.
      teacher: whether the teacher's is meant, which may differ from the students'.

    Raises:
      InputError: the run wants it and the data set has none, or the cutout is as large as an image.
    """
    side = min(dataset.image_shape[:2])
    if config.training.cutout >= side:
        raise InputError(
            f"cutout must be below the images' {side} pixels, or nothing is left of some; "
            f"got {config.training.cutout}"
        )
    cutout, mixup = config.training.cutout, config.training.mixup
    own = config.teaching.teacher_augment if teacher else None
    if not (config.training.augment if own is None else own):
        alone = dataclasses.replace(NO_AUGMENTATION, cutout=cutout, mixup=mixup)
        return None if alone == NO_AUGMENTATION else alone
    usual = default_augmentation(config.data.dataset, dataset.image_shape)
    if usual == NO_AUGMENTATION:
        flag = "--augment" if own is None else "--teacher-augment"
        raise InputError(f"{config.data.dataset} has no augmentation; leave {flag} out")
    return dataclasses.replace(usual, cutout=cutout, mixup=mixup)


def mesh_of(config: RunConfig) -> Mesh | None:
    """Return the devices that share each batch, or None for one device.

    Raises:
      InputError: more devices than there are.
    """
    found = jax.devices()
    if config.training.devices > len(found):
        raise InputError(
            f"devices must be at most the {len(found)} there are ({found[0].platform}), "
            f"got {config.training.devices}"
        )
    return data_mesh(found[: config.training.devices]) if config.training.devices > 1 else None


def networks_of(config: RunConfig, dataset: ImageDataset) -> Networks:
    """Return a run's student and who teaches it, before they are trained."""
    names = config.distillation
    teacher = names.teacher if names.assistant is None else names.assistant
    return Networks(
        student=models.create(names.student, dataset.num_outputs),
        teacher=None
        if config.teaching.logits_of is not None
        else models.create(teacher, dataset.num_outputs),
        image_shape=dataset.image_shape,
        num_outputs=dataset.num_outputs,
    )


def trainer_of(
    config: RunConfig,
    dataset: ImageDataset,
    model: str,
    *,
    optimizer: OptimizerConfig,
    epochs: int,
    augmentation: AugmentConfig | None,
    examples: int | None = None,
    variables: Variables | None = None,
) -> Trainer:
    """Return the trainer of a run's networks of one architecture.

    Args:
      config: the run.
      dataset: the students' data.
      model: name of the architecture.
      optimizer: of these networks.
      epochs: passes over their examples.
      augmentation: of their images, or None.
      examples: how many they are trained on (default: the training split).
      variables: what they start from (default: initialised).

    Raises:
      InputError: settings that do not fit each other, the data or the machine.
    """
    return Trainer(
        module=models.create(model, dataset.num_outputs),
        image_shape=dataset.image_shape,
        examples=len(dataset.train) if examples is None else examples,
        epochs=epochs,
        batch_size=config.training.batch_size,
        optimizer=optimizer,
        augmentation=augmentation,
        compute_dtype=config.training.compute_dtype,
        steps_per_dispatch=config.training.steps_per_dispatch,
        mesh=mesh_of(config),
        streamed=config.training.streamed,
        variables=variables,
        save_seconds=config.output.save_seconds,
    )
