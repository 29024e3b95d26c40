"""Test the theory of knowledge distillation on real networks.

Subpackages: `datasets`, `models`, `targets`, `training`, `ntk`, `complexity`, `measure`, `bounds`,
`analysis`, `claims`, `methods`, `statistics`, `report`, `runs`, `studies`. They are imported when
first used.

`supervision_complexity` is what to call first: how complex targets are for a network.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_SUBPACKAGES = (
    "analysis",
    "bounds",
    "claims",
    "complexity",
    "datasets",
    "errors",
    "measure",
    "methods",
    "models",
    "ntk",
    "report",
    "runs",
    "statistics",
    "studies",
    "targets",
    "testing",
    "training",
)

__all__ = ["__version__", "supervision_complexity", *_SUBPACKAGES]


def __getattr__(name: str) -> Any:
    if name == "supervision_complexity":
        return importlib.import_module("kdtheory.measure").supervision_complexity
    if name in _SUBPACKAGES:
        return importlib.import_module(f"kdtheory.{name}")
    raise AttributeError(f"module 'kdtheory' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
