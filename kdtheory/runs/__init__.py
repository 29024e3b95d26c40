"""Runs: configurations, their stores, and the runner that fills them."""

from kdtheory.rows import Supervision
from kdtheory.runs.config import RunConfig, from_json, read_config, to_json
from kdtheory.runs.provenance import provenance
from kdtheory.runs.runner import run_study

__all__ = [
    "RunConfig",
    "Supervision",
    "from_json",
    "provenance",
    "read_config",
    "run_study",
    "to_json",
]
