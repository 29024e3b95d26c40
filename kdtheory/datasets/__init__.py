"""Image classification problems: one frozen `ImageDataset` out of every source.

`load` makes it: the digits that scikit-learn carries, a made-up set for tests, an image folder, or
any prepared TensorFlow Datasets image classification set; full, binary or subset tasks; stratified,
seeded subsets; label noise. `load_streamed` leaves the training images where they are stored, for
sets that do not fit in memory. `prepare` downloads a set. `normalize`, `encode_labels`, `augment`
and `train_view` are pure functions for compiled steps.
"""

from kdtheory.datasets.arrays import from_arrays
from kdtheory.datasets.augment import AugmentConfig, augment, default_augmentation
from kdtheory.datasets.corrupted import teacher_split
from kdtheory.datasets.image_dataset import ImageDataset, Split, encode_labels, normalize
from kdtheory.datasets.loading import load
from kdtheory.datasets.prepare import prepare
from kdtheory.datasets.prepared import list_prepared
from kdtheory.datasets.source import Source, SourceSplit
from kdtheory.datasets.sources import register_source
from kdtheory.datasets.streamed import StreamedSplit, load_streamed
from kdtheory.datasets.streaming import stream
from kdtheory.datasets.tasks import TASKS, Task, register_task
from kdtheory.datasets.train_view import mix_losses, mixup, train_view

__all__ = [
    "TASKS",
    "AugmentConfig",
    "ImageDataset",
    "Source",
    "SourceSplit",
    "Split",
    "StreamedSplit",
    "Task",
    "augment",
    "default_augmentation",
    "encode_labels",
    "from_arrays",
    "list_prepared",
    "load",
    "load_streamed",
    "mix_losses",
    "mixup",
    "normalize",
    "prepare",
    "register_source",
    "register_task",
    "stream",
    "teacher_split",
    "train_view",
]
