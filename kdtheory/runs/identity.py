"""What makes two runs the same: the hash of their settings, the same in every version.

It is taken of what differs from `BEFORE`, the value of each setting in a run that knows nothing of
it: for settings of the first version its defaults, for one that was added later what runs did
before it was there. So neither a new setting nor a new default makes another run of a stored one.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

BEFORE: Mapping[str, Any] = {
    "teacher": "resnet20",
    "student": "lenet5x1",
    "temperatures": [1.0, 4.0],
    "alpha": 1.0,
    "one_teacher": False,
    "same_batches": False,
    "assistant": None,
    "dataset": "digits",
    "task": "full",
    "train_size": None,
    "validation_size": None,
    "test_size": None,
    "test_fraction": None,
    "image_size": None,
    "label_noise": 0.0,
    "noise_kind": "symmetric",
    "data_seed": 0,
    "epochs": 20,
    "batch_size": 128,
    "student_optimizer": {
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "schedule": "cosine",
        "milestones": [0.5, 0.75, 0.9],
        "warmup": 0.05,
        "weight_decay": 0.0005,
        "gradient_clip": None,
    },
    "tune": [],
    "augment": False,
    "cutout": 0,
    "mixup": 0.0,
    "steps_per_dispatch": None,
    "compute_dtype": "float32",
    "streamed": False,
    "together": "none",
    "kernel": "full",
    "points": 5,
    "accuracy_points": 0,
    "ntk_size": 512,
    "ntk_split": "train",
    "ridge": 0.001,
    "ridge_absolute": None,
    "relative_gap": 1e-3,
    "ntk_method": "auto",
    "ntk_batch_size": None,
    "ntk_dtype": "float64",
    "similarity_size": 0,
    "bounds": False,
    "bound_ridges": [],
    "certify": 0,
    "target_form": "probabilities",
    "centre_targets": False,
    "residual_targets": False,
    "teacher_epochs": None,
    "teacher_optimizer": {
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "schedule": "cosine",
        "milestones": [0.5, 0.75, 0.9],
        "warmup": 0.05,
        "weight_decay": 0.0005,
        "gradient_clip": None,
    },
    "teacher_checkpoints": 10,
    "online_checkpoints": None,
    "online_until": None,
    "matched_on": "complexity",
    "teacher_augment": None,
    "teacher_data": "train",
    "teacher_noise": None,
    "teacher_stop": 1.0,
    "teacher_perturbation": 0.0,
    "teacher_cache": False,
}


#: What an optimiser's settings were in the first version; later ones are hashed where they differ.
_FIRST = ("optimizer", "learning_rate", "schedule", "warmup", "weight_decay")


def known_before(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored run's settings, with those that its file does not name as they were then."""
    known = {**BEFORE, **settings}
    for name in ("student_optimizer", "teacher_optimizer"):
        known[name] = {**BEFORE[name], **known[name]}
    return known


def first_settings(optimizer: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return an optimiser's settings without those that came later and are as they were before."""
    as_json = {k: list(v) if isinstance(v, tuple) else v for k, v in optimizer.items()}
    return {k: v for k, v in as_json.items() if k in _FIRST or v != before.get(k)}


def settings_hash(identity: Mapping[str, Any], data: str) -> str:
    """Return the short hash of a run's settings and data that stands in each of its rows.

    Args:
      identity: `RunConfig.identity()`.
      data: the data's fingerprint.

    >>> settings_hash(BEFORE, "0"), settings_hash({**BEFORE, "alpha": 0.5}, "0")
    ('s77b66b4', 'scd709fa')
    """
    changed = {
        name: first_settings(value, BEFORE[name]) if isinstance(value, dict) else value
        for name, value in identity.items()
        if value != BEFORE[name]
    }
    text = json.dumps({**changed, "data": data}, sort_keys=True)
    # The letter first: readers of CSV would take some hashes for numbers.
    return "s" + hashlib.sha256(text.encode()).hexdigest()[:7]
