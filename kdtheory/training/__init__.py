"""One compiled training loop for teachers and students, its optimisers and its checkpoints."""

from kdtheory.training.batches import steps_per_epoch
from kdtheory.training.checkpoints import Checkpoints, DamagedCheckpointError
from kdtheory.training.chunk import default_steps_per_dispatch, make_train_chunk
from kdtheory.training.evaluate import predict_logits
from kdtheory.training.fitting import fit
from kdtheory.training.loop import run, run_many
from kdtheory.training.optimizers import OptimizerConfig, make_optimizer
from kdtheory.training.precision import in_precision
from kdtheory.training.resuming import resumable
from kdtheory.training.sharding import data_mesh
from kdtheory.training.stacking import stack_supervisions
from kdtheory.training.state import TrainingData, TrainState, init_state, training_data
from kdtheory.training.teacher_cache import TeacherCache, cached_teacher
from kdtheory.training.termination import handle_sigterm
from kdtheory.training.trainer import Trainer

__all__ = [
    "Checkpoints",
    "DamagedCheckpointError",
    "OptimizerConfig",
    "TeacherCache",
    "TrainState",
    "Trainer",
    "TrainingData",
    "cached_teacher",
    "data_mesh",
    "default_steps_per_dispatch",
    "fit",
    "handle_sigterm",
    "in_precision",
    "init_state",
    "make_optimizer",
    "make_train_chunk",
    "predict_logits",
    "resumable",
    "run",
    "run_many",
    "stack_supervisions",
    "steps_per_epoch",
    "training_data",
]
