"""One compiled training loop for teachers and students, its optimisers and its checkpoints."""

from kdtheory.training.checkpoints import Checkpoints
from kdtheory.training.evaluate import predict_logits
from kdtheory.training.loop import (
    Examples,
    Supervision,
    TrainChunk,
    TrainingData,
    TrainState,
    batch_indices,
    default_steps_per_dispatch,
    init_state,
    make_train_chunk,
    run,
    steps_per_epoch,
    training_data,
)
from kdtheory.training.optimizers import OptimizerConfig, make_optimizer, make_schedule

__all__ = [
    "Checkpoints",
    "Examples",
    "OptimizerConfig",
    "Supervision",
    "TrainChunk",
    "TrainState",
    "TrainingData",
    "batch_indices",
    "default_steps_per_dispatch",
    "init_state",
    "make_optimizer",
    "make_schedule",
    "make_train_chunk",
    "predict_logits",
    "run",
    "steps_per_epoch",
    "training_data",
]
