"""Test the theory of knowledge distillation on real networks.

Subpackages: `datasets`, `models`, `targets`, `training`, `ntk`, `complexity`, `measure`, `bounds`,
`analysis`, `claims`, `methods`, `statistics`, `report`, `recording`, `runs`, `studies`. They are
imported when first used.

`supervision_complexity` is what to call first: how complex targets are for a network; and
`complexity_recorder` records it along a training.
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
    "recording",
    "report",
    "runs",
    "statistics",
    "studies",
    "targets",
    "testing",
    "training",
)

#: Functions that are called first, and the subpackages that they are from.
_FUNCTIONS = {
    "supervision_complexity": "measure",
    "complexity_recorder": "recording",
    "kernel_recorder": "recording",
}

__all__ = ["__version__", *_FUNCTIONS, *_SUBPACKAGES]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"kdtheory.{_FUNCTIONS[name]}"), name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"kdtheory.{name}")
    raise AttributeError(f"module 'kdtheory' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
