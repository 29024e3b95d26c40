"""The variables of a state that a run stored, for commands that measure it."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from kdtheory.errors import InputError, RunError
from kdtheory.runs.config import RunConfig
from kdtheory.runs.config_file import read_config
from kdtheory.training import Checkpoints, OptimizerConfig, TrainState, init_state, make_optimizer
from kdtheory.typing import Variables


def stored_variables(folder: Path, like: Variables) -> Variables:
    """Return the variables of a state that `kdtheory run` stored, read as its config.json says.

    Args:
      folder: of the state, step-...
      like: variables of the same model.

    Raises:
      InputError: no such folder, not a run's, or of another model.
    """
    if not folder.is_dir() or not folder.name.startswith("step-"):
        raise InputError(f"--checkpoint must name a folder step-..., got {folder}")
    written = (parent / "config.json" for parent in folder.absolute().parents)
    config_path = next((path for path in written if path.is_file()), None)
    if config_path is None:
        raise InputError(f"--checkpoint {folder} lies in no run: no config.json above it")
    config = read_config(config_path)
    checkpoints = Checkpoints(folder.parent)
    try:
        for form in stored_forms(config, like):
            with contextlib.suppress(RunError):
                state = checkpoints.restore(int(folder.name[5:]), form)
                return state.variables if isinstance(state, TrainState) else state
    finally:
        checkpoints.close()
    raise InputError(
        f"--checkpoint {folder} cannot be read: it is of another --model, of other outputs, or "
        "damaged"
    )


def stored_forms(config: RunConfig, variables: Any) -> Iterator[Any]:
    """Yield what a run may have stored of these variables: themselves, or with an optimiser."""
    yield variables
    for optimizer in _optimizers(config):
        made = make_optimizer(optimizer, 1000)
        yield jax.eval_shape(functools.partial(init_state, optimizer=made), variables)


def _optimizers(config: Any) -> Iterator[OptimizerConfig]:
    if isinstance(config, OptimizerConfig):
        yield config
    elif dataclasses.is_dataclass(config):
        for field in dataclasses.fields(config):
            yield from _optimizers(getattr(config, field.name))
