"""The variables of a state that a run stored, for commands that measure it."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from kdtheory.digests import Owner
from kdtheory.errors import InputError
from kdtheory.runs.config import RunConfig
from kdtheory.runs.config_file import read_config
from kdtheory.runs.identity import settings_hash
from kdtheory.runs.provenance import is_sealed
from kdtheory.runs.store import read_provenance, stored_fingerprint
from kdtheory.training import (
    Checkpoints,
    DamagedCheckpointError,
    OptimizerConfig,
    TrainState,
    init_state,
    make_optimizer,
)
from kdtheory.typing import Variables


def stored_variables(folder: Path, like: Variables) -> Variables:
    """Return the variables of a state that `kdtheory run` stored, read as its config.json says.

    Args:
      folder: of the state, step-...
      like: variables of the same model.

    Raises:
      InputError: no such folder, not a run's, of another model, damaged, or another's than its
        place says.
      RunError: the run's data.json or provenance.json is damaged.
    """
    step = folder.name.removeprefix("step-")
    if not folder.is_dir() or step == folder.name or not step.isdecimal():
        raise InputError(f"--checkpoint must name a folder step-..., got {folder}")
    written = (parent / "config.json" for parent in folder.absolute().parents)
    config_path = next((path for path in written if path.is_file()), None)
    if config_path is None:
        raise InputError(f"--checkpoint {folder} lies in no run: no config.json above it")
    config = read_config(config_path)
    checkpoints = Checkpoints(folder.parent, _owner(folder.absolute(), config_path.parent, config))
    why = "it is of another --model, of other outputs, or damaged"
    try:
        for form in stored_forms(config, like):
            try:
                state = checkpoints.restore(int(step), form)
            except DamagedCheckpointError as error:
                # Of all forms but one it is another's, which says nothing.
                why = why if error.of_another_form else error.why
            else:
                return state.variables if isinstance(state, TrainState) else state
    finally:
        checkpoints.close()
    raise InputError(f"--checkpoint {folder} cannot be read: {why}")


def _owner(folder: Path, run: Path, config: RunConfig) -> Owner:
    """Return whose a state in a run's folder is, by the place where it lies."""
    place = folder.relative_to(run).parts
    names: dict[str, str | int] = {}
    # Students that were trained together share a state, and teachers a folder of their own.
    if place[0] == "seeds" and len(place) > 3 and place[1].isdecimal():
        names = {"seed": int(place[1]), "network": place[2]}
        if (run / "data.json").exists():
            data = stored_fingerprint(run / "data.json")
            names["run"] = settings_hash(config.identity(), data)
    sessions = read_provenance(run)["sessions"]
    return Owner(names=names, sealed=bool(sessions) and is_sealed(sessions))


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
