"""Checkpoints for commands that measure them: those that a run stored, and those of one's own."""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from kdtheory.digests import Owner
from kdtheory.errors import InputError
from kdtheory.files import is_temporary
from kdtheory.methods.registry import METHODS
from kdtheory.models import match_variables, read_variables
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

#: A run's checkpoint, and any other, by their names.
_RUNS = re.compile(r"step-\d+")
_NUMBERED = re.compile(r"(?:.*\D)?(?P<step>\d+)")
#: Endings of files that hold variables; Flax's own have none.
_FORMS = (".msgpack", ".npz", ".safetensors")


def checkpoints_in(folder: Path) -> dict[int, Path]:
    """Return the checkpoints in a folder by their steps, in rising order.

    Those are the entries step-... that `kdtheory run` writes, or else all files and folders whose
    names end in a number, such as 100, checkpoint_100 or epoch-100.safetensors.

    Raises:
      InputError: no such folder, none in it, or two of one step.
    """
    if not folder.is_dir():
        raise InputError(f"--checkpoints must name a folder, got {folder}")
    entries = [path for path in sorted(folder.iterdir()) if not is_temporary(path.name)]
    own = [path for path in entries if _RUNS.fullmatch(path.name) and path.is_dir()]
    found: dict[int, Path] = {}
    for path in own or entries:
        number = _NUMBERED.fullmatch(path.stem if path.suffix in _FORMS else path.name)
        if number is None or not (path.is_dir() or path.suffix in ("", *_FORMS)):
            continue
        step = int(number["step"])
        if step in found:
            raise InputError(
                f"{folder} has two checkpoints of step {step}: {found[step].name}, {path.name}"
            )
        found[step] = path
    if not found:
        below = [path.parent for path in sorted(folder.rglob("step-*")) if path.is_dir()]
        where = f"; name one network's folder, such as {below[0]}" if below else ""
        raise InputError(f"no checkpoint in {folder}{where}")
    return dict(sorted(found.items()))


def checkpoint_variables(path: Path, like: Variables) -> Variables:
    """Return the variables of a checkpoint: of a run's state, or of any form of one's own.

    A whole training state will do, of which what is no variable is left out.

    Args:
      path: a folder step-... of a run, or what `models.read_variables` reads.
      like: variables of the same model.

    Raises:
      InputError: no such file or folder, damaged, another's than its place says, or of another
        model: arrays that are not there, or that the model has not.
      RunError: the run's data.json or provenance.json is damaged.
    """
    run = _run_of(path)
    if run is not None:
        return _stored(path, run, like)
    held = read_variables(path)
    matched = match_variables(like, held, str(path))
    # Beside the variables a state has its step, moments and keys; alone they are all there is.
    collections = set(like)
    alone = not any(collections & set(name.split("/")) for name in held)
    besides = [n for n in matched.left_over if alone or collections & set(n.split("/"))]
    if matched.unmatched or besides:
        raise InputError(f"{path} is of another network: {matched.report}")
    return matched.variables


def held_variables(path: Path, like: Variables) -> Mapping[str, Any]:
    """Return the variables of a run's state, in the form of `like`, or the arrays of another file.

    Raises:
      InputError: as `checkpoint_variables`, but that nothing is matched.
      RunError: the run's data.json or provenance.json is damaged.
    """
    run = _run_of(path)
    return read_variables(path) if run is None else _stored(path, run, like)


def _run_of(path: Path) -> Path | None:
    """Return the folder of the run that stored a state; None where no run did."""
    if not (path.is_dir() and _RUNS.fullmatch(path.name)):
        return None
    return next((p for p in path.absolute().parents if (p / "config.json").is_file()), None)


def _stored(folder: Path, run: Path, like: Variables) -> Variables:
    """Return the variables of a state that `kdtheory run` stored, read as its config.json says."""
    config = read_config(run / "config.json")
    _check_named(folder.absolute().relative_to(run).parts, run)
    checkpoints = Checkpoints(folder.parent, _owner(folder.absolute(), run, config))
    why = "it is of another --model, of other outputs, or damaged"
    try:
        for form in stored_forms(config, like):
            try:
                state = checkpoints.restore(int(folder.name[5:]), form)
            except DamagedCheckpointError as error:
                # Of all forms but one it is another's, which says nothing.
                why = why if error.of_another_form else error.why
            else:
                return state.variables if isinstance(state, TrainState) else state
    finally:
        checkpoints.close()
    raise InputError(f"{folder} cannot be read: {why}")


def _check_named(place: tuple[str, ...], run: Path) -> None:
    """Raise InputError for the state of a network that a method made, which no model's name has."""
    arm = place[2].split("-")[0] if place[0] == "seeds" and len(place) > 3 else ""
    if arm in METHODS and METHODS[arm].network is not None:
        raise InputError(
            f"{run / Path(*place)} is of the network that {arm} makes of the run's student, which "
            f"has no --model name: its complexity along the training is in {run}/rows.jsonl"
        )


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
