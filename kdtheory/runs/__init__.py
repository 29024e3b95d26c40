"""Runs: configurations, their stores, and the runner that fills them."""

from kdtheory.arms import Supervision
from kdtheory.runs.config import RunConfig, from_json, to_json
from kdtheory.runs.config_file import read_config
from kdtheory.runs.execution import execute
from kdtheory.runs.provenance import provenance
from kdtheory.runs.stored_variables import checkpoint_variables

__all__ = [
    "RunConfig",
    "Supervision",
    "checkpoint_variables",
    "execute",
    "from_json",
    "provenance",
    "read_config",
    "to_json",
]
