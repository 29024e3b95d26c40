"""Configurations that come from a file, or by the name of a recipe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdtheory.errors import InputError, unknown_name
from kdtheory.files import read_json
from kdtheory.runs.config import RunConfig, from_json
from kdtheory.runs.identity import known_before


def read_config(path: Path) -> RunConfig:
    """Read a configuration file: JSON, such as the config.json that a run writes.

    Raises:
      InputError: no such file, not JSON, or a wrong setting.
    """
    try:
        values = read_json(path)
    except OSError as error:
        raise InputError(f"config file {path}: {error.strerror or error}") from error
    except UnicodeError as error:
        raise InputError(f"config file {path} is not UTF-8 text") from error
    except ValueError as error:
        raise InputError(f"config file {path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"config file {path} must hold a JSON object of settings")
    if values and all(isinstance(value, dict) for value in values.values()):
        inner = path.parent / next(iter(values)) / path.name
        raise InputError(
            f"config file {path} holds several runs; give one of them, such as {inner}"
        )
    if (path.parent / "data.json").exists():  # a run's own, maybe of an earlier version
        values = known_before(values)
    return from_json(values, f"config file {path}")


_CRD_OPTIMIZER = {
    "learning_rate": 0.05,
    "schedule": "step",
    "milestones": [0.625, 0.75, 0.875],
    "warmup": 0.0,
    "weight_decay": 5e-4,
    "gradient_clip": None,
}

#: Published training protocols by name: flat settings, as in a config file.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    # The tables of CIFAR-100 since Tian, Krishnan and Isola, "Contrastive Representation
    # Distillation", ICLR 2020: 240 epochs, batches of 64, learning rate 0.05 divided by ten at
    # epochs 150, 180 and 210, crops and flips; distillation with weight 0.9 at tau = 4.
    "crd": {
        "epochs": 240,
        "batch_size": 64,
        "student_optimizer": _CRD_OPTIMIZER,
        "teacher_optimizer": _CRD_OPTIMIZER,
        "augment": True,
        "alpha": 0.9,
        "temperatures": [4.0],
    },
}


def recipe(name: str) -> RunConfig:
    """Return the configuration of a recipe.

    Raises:
      InputError: there is none of that name.

    >>> recipe("crd").training.epochs
    240
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, sorted(RECIPES))
    return from_json(dict(RECIPES[name]), f"recipe {name}")
