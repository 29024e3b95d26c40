"""A teacher assistant: a network distilled from the teacher that teaches the students in its place.

Source: Mirzadeh et al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020.
"""

from collections.abc import Mapping
from typing import Any

from kdtheory.runs.config import RunConfig
from kdtheory.runs.teacher import TrainedTeacher
from kdtheory.targets import Teacher, offline
from kdtheory.training import Trainer


def assistant_supervision(config: RunConfig, trainer: Trainer, teacher: TrainedTeacher) -> Teacher:
    """Return what trains an assistant: its teacher's last checkpoint at the last temperature.

    Args:
      config: the run; alpha mixes in labels as it does for students.
      trainer: the teacher's.
      teacher: as it is after `teacher_stop` and `teacher_perturbation`.
    """
    return offline(
        trainer.apply_fn,
        teacher.trajectory.final(),
        temperature=config.distillation.temperatures[-1],
        alpha=config.distillation.alpha,
    )


def assistant_settings(
    config: RunConfig, own: Mapping[str, Any], teachers: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything that an assistant's checkpoints and their logits depend on, but the seed.

    Args:
      config: the run.
      own: `training_settings` of the assistant's own training.
      teachers: those of its teacher.
    """
    return {
        **own,
        # Of an assistant these are its students'; what its teacher saw is below.
        "teacher_data": "train",
        "teacher_noise": None,
        "data_seed": None,
        "distilled_from": {
            **teachers,
            "teacher_stop": config.teaching.teacher_stop,
            "teacher_perturbation": config.teaching.teacher_perturbation,
        },
        "temperature": config.distillation.temperatures[-1],
        "alpha": config.distillation.alpha,
    }
