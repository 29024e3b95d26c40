"""One compiled training loop for teachers and students, its optimisers and its checkpoints."""

from kdtheory.training.batches import batch_indices, epoch_order, steps_per_epoch
from kdtheory.training.checkpoints import Checkpoints
from kdtheory.training.chunk import (
    Together,
    TrainChunk,
    default_steps_per_dispatch,
    make_train_chunk,
)
from kdtheory.training.compilation_cache import enable_compilation_cache
from kdtheory.training.evaluate import predict_logits
from kdtheory.training.event_files import EventFiles, check_tensorboard
from kdtheory.training.fitting import EpochRecord, FitResult, fit
from kdtheory.training.loop import NonFiniteLossError, Pause, default_together, run, run_many
from kdtheory.training.optimizers import OptimizerConfig, make_optimizer, make_schedule
from kdtheory.training.packed import packed_convolutions
from kdtheory.training.precision import ComputeDtype, in_precision
from kdtheory.training.resuming import resumable
from kdtheory.training.sharding import data_mesh
from kdtheory.training.stacking import stack_supervisions
from kdtheory.training.state import (
    HostData,
    TrainingData,
    TrainState,
    init_state,
    training_data,
)
from kdtheory.training.streamed import run_streamed
from kdtheory.training.termination import handle_sigterm
from kdtheory.training.trainer import Trainer

__all__ = [
    "Checkpoints",
    "ComputeDtype",
    "EpochRecord",
    "EventFiles",
    "FitResult",
    "HostData",
    "NonFiniteLossError",
    "OptimizerConfig",
    "Pause",
    "Together",
    "TrainChunk",
    "TrainState",
    "Trainer",
    "TrainingData",
    "batch_indices",
    "check_tensorboard",
    "data_mesh",
    "default_steps_per_dispatch",
    "default_together",
    "enable_compilation_cache",
    "epoch_order",
    "fit",
    "handle_sigterm",
    "in_precision",
    "init_state",
    "make_optimizer",
    "make_schedule",
    "make_train_chunk",
    "packed_convolutions",
    "predict_logits",
    "resumable",
    "run",
    "run_many",
    "run_streamed",
    "stack_supervisions",
    "steps_per_epoch",
    "training_data",
]
