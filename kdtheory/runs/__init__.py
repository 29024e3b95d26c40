"""Runs: configurations, their stores, and the runner that fills them."""

from kdtheory.arms import Supervision
from kdtheory.runs.config import RunConfig, from_json, to_json
from kdtheory.runs.config_file import read_config
from kdtheory.runs.execution import execute
from kdtheory.runs.provenance import provenance

__all__ = [
    "RunConfig",
    "Supervision",
    "execute",
    "from_json",
    "provenance",
    "read_config",
    "to_json",
]
