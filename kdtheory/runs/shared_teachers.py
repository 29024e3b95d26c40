"""Trained teachers that runs share: a folder of them, each under a hash of what it depends on.

    teachers/t3f2a90bc1d/teacher.json      the settings that the hash is of, and who began it
    teachers/t3f2a90bc1d/0/teacher/        seed 0's checkpoints and their logits
    teachers/a90c21b4e55/0/assistant/      an assistant's, under its own settings

With `teacher_cache` their logits on augmented images lie beside them, in teachers/views
(`kdtheory.training.teacher_cache`). Rows belong to a run and lie in the run's own folder.
"""

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kdtheory.datasets import ImageDataset
from kdtheory.digests import Owner
from kdtheory.errors import InputError, RunError
from kdtheory.files import (
    FolderBusyError,
    locked_folder,
    read_json,
    refuse_links,
    remove_temporaries,
    write_json,
)
from kdtheory.models.registry import family_of
from kdtheory.runs.config import RunConfig
from kdtheory.runs.identity import BEFORE, first_settings
from kdtheory.runs.own_code import imported
from kdtheory.runs.prng import USUAL, prng
from kdtheory.runs.provenance import is_sealed, provenance
from kdtheory.runs.teacher_checkpoints import teacher_points
from kdtheory.runs.unit import Unit
from kdtheory.training import Trainer

#: Seconds between two looks at a teacher that another process trains.
_POLL = 0.5

#: Name of the file that says what a shared teacher is.
_SETTINGS_FILE = "teacher.json"


def training_settings(
    config: RunConfig, model: str, trainer: Trainer, dataset: ImageDataset
) -> dict[str, Any]:
    """Return everything that a teacher's checkpoints and their logits depend on, but the seed.

    Not what is done to it afterwards (`teacher_stop`, `teacher_perturbation`,
    `online_checkpoints`), and nothing of the students: runs that differ in these alone share it.

    Args:
      config: the run.
      model: name of the teacher's architecture.
      trainer: its training.
      dataset: the splits.

    Returns:
      JSON's types only.
    """
    corrupted = config.teaching.teacher_data not in ("train", "validation")
    augmentation = trainer.augmentation
    return {
        "dataset": config.data.dataset,
        "task": config.data.task,
        "data": str(dataset.provenance["sha256"]),
        "model": model,
        "optimizer": first_settings(
            dataclasses.asdict(config.teaching.teacher_optimizer), BEFORE["teacher_optimizer"]
        ),
        "epochs": trainer.epochs,
        "checkpoints": len(teacher_points(trainer, config.teaching.teacher_checkpoints)),
        "batch_size": config.training.batch_size,
        "augmentation": None if augmentation is None else dataclasses.asdict(augmentation),
        "compute_dtype": config.training.compute_dtype,
        "steps_per_dispatch": trainer.length,
        "teacher_data": config.teaching.teacher_data,
        "teacher_noise": config.teaching.teacher_noise,
        "data_seed": config.data.data_seed if corrupted else None,
        # Another generator's teacher is another one; folders of the usual one keep their names.
        **({} if prng() == USUAL else {"prng": prng()}),
        **own_model(model),
    }


def own_model(model: str) -> dict[str, Any]:
    """Return what else tells of a model of the user's own: it is what its file says.

    >>> own_model("resnet20")
    {}
    """
    is_own = not family_of(model).build.__module__.startswith("kdtheory.")
    digests = [code.sha256 for code in imported()]
    return {"imports": digests} if is_own and digests else {}


def folder_name(settings: Mapping[str, Any]) -> str:
    """Return a short hash of settings, for the name of their folder.

    >>> folder_name({"a": 1, "b": 2}) == folder_name({"b": 2, "a": 1})
    True
    """
    text = json.dumps(settings, sort_keys=True)
    return "t" + hashlib.sha256(text.encode()).hexdigest()[:11]


@contextlib.contextmanager
def shared_unit(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    seed: int,
    name: str,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[Unit]:
    """Lend a shared network's folder while the context lasts, to one process at a time.

    A process that finds it taken waits until the other one has trained the network or has ended.

    Args:
      folder: of all shared teachers.
      settings: what the network depends on besides the seed.
      seed: whose network.
      name: "teacher" or "assistant".
      on_wait: called once if the folder is taken.

    Raises:
      InputError: the folder is a file, or has links in it.
      RunError: it cannot be written, or holds other settings under the same hash.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; --teachers must name a folder")
    home = folder / folder_name(settings)
    refuse_links(home)
    folder_of_unit = home / str(seed) / name
    with contextlib.ExitStack() as stack:
        waiting = False
        while True:
            try:
                stack.enter_context(locked_folder(folder_of_unit))
                break
            except FolderBusyError:
                if on_wait is not None and not waiting:
                    on_wait()
                waiting = True
                time.sleep(_POLL)
        remove_temporaries(folder_of_unit)
        sealed = _describe(home / _SETTINGS_FILE, settings)
        names: dict[str, str | int] = {"run": home.name, "seed": seed, "network": name}
        yield Unit(folder_of_unit, Owner(names=names, sealed=sealed))


def _describe(path: Path, settings: Mapping[str, Any]) -> bool:
    """Write what a shared teacher is beside it, or check that it is what was written.

    Returns:
      Whether everything of it is sealed: not if a version before seals began it.
    """
    if not path.exists():
        write_json(path, {"settings": settings, "begun": provenance()})
    try:
        read = read_json(path)
        stored, begun = read["settings"], read.get("begun", {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error}); remove it") from error
    if stored != json.loads(json.dumps(settings)):
        raise RunError(f"{path} describes another teacher; remove the folder {path.parent}")
    return is_sealed([begun])
