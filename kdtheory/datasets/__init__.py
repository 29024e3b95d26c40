"""Image classification problems: one frozen `ImageDataset` out of every source.

`load` makes it: the digits that scikit-learn carries, a made-up set for tests, or any prepared
TensorFlow Datasets image classification set; full or binary tasks; stratified, seeded subsets;
label noise. `prepare` downloads a set. `normalize`, `encode_labels` and `augment` are pure
functions for compiled steps.
"""

from kdtheory.datasets.augment import (
    NO_AUGMENTATION,
    AugmentConfig,
    augment,
    default_augmentation,
)
from kdtheory.datasets.image_dataset import ImageDataset, Split, encode_labels, normalize
from kdtheory.datasets.loading import load, register_source
from kdtheory.datasets.prepare import prepare
from kdtheory.datasets.prepared import PreparedDataset, list_prepared
from kdtheory.datasets.source import OnProgress, Source, SourceSplit
from kdtheory.datasets.tasks import TASKS, Task, register_task

__all__ = [
    "NO_AUGMENTATION",
    "TASKS",
    "AugmentConfig",
    "ImageDataset",
    "OnProgress",
    "PreparedDataset",
    "Source",
    "SourceSplit",
    "Split",
    "Task",
    "augment",
    "default_augmentation",
    "encode_labels",
    "list_prepared",
    "load",
    "normalize",
    "prepare",
    "register_source",
    "register_task",
]
