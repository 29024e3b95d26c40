"""Flax (linen) models by name: `create(name, num_outputs)`; add one with `register`."""

# In the order in which the families are listed; resnet_four_stages after resnet, whose pattern
# also fits two of its names.
from kdtheory.models import (  # isort: skip
    mlp,
    lenet,
    resnet,
    resnet_four_stages,
    wide_resnet,
    vgg,
    mobilenet_v2,
    mobilenet_v3,
    shufflenet_v2,
    densenet,
    vit,
)
from kdtheory.models.catalogue import ModelSummary, summarize
from kdtheory.models.equinox_module import from_equinox
from kdtheory.models.equinox_student import equinox_to_linen
from kdtheory.models.haiku_transform import from_haiku
from kdtheory.models.initialize import abstract_variables, init, num_params
from kdtheory.models.nnx_module import from_nnx
from kdtheory.models.pretrained import Matched, match_variables, read_variables
from kdtheory.models.registry import create, known_models, register
from kdtheory.models.requirements import check_model

__all__ = [
    "Matched",
    "ModelSummary",
    "abstract_variables",
    "check_model",
    "create",
    "densenet",
    "equinox_to_linen",
    "from_equinox",
    "from_haiku",
    "from_nnx",
    "init",
    "known_models",
    "lenet",
    "match_variables",
    "mlp",
    "mobilenet_v2",
    "mobilenet_v3",
    "num_params",
    "read_variables",
    "register",
    "resnet",
    "resnet_four_stages",
    "shufflenet_v2",
    "summarize",
    "vgg",
    "vit",
    "wide_resnet",
]
