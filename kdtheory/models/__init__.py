"""Flax (linen) models by name: `create(name, num_outputs)`; add one with `register`."""

from kdtheory.models import lenet, mlp, resnet
from kdtheory.models.initialize import init, num_params
from kdtheory.models.registry import create, known_models, register

__all__ = [
    "create",
    "init",
    "known_models",
    "lenet",
    "mlp",
    "num_params",
    "register",
    "resnet",
]
