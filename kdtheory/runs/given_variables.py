"""Parameters that a run is given: where its students start, and those of a trained teacher."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from kdtheory import models
from kdtheory.datasets import ImageDataset
from kdtheory.errors import InputError
from kdtheory.runs.config import RunConfig
from kdtheory.runs.stored_variables import held_variables
from kdtheory.typing import Variables


class GivenVariables(NamedTuple):
    """Parameters from files, matched to a model."""

    variables: tuple[Variables, ...]
    """One pytree a file."""
    files: tuple[str, ...]
    """Their names."""
    sha256: str
    """Of all arrays that the model took."""
    report: str
    """What matched and what did not, in one line."""

    def provenance(self) -> dict[str, Any]:
        """Return what a run says of them, in JSON's types."""
        return {"files": list(self.files), "sha256": self.sha256, "report": self.report}


def student_start(config: RunConfig, dataset: ImageDataset) -> GivenVariables | None:
    """Return what every student of a run starts from; None where they are initialised.

    Raises:
      InputError: a file that cannot be read, or nothing in it is the model's.
    """
    file = config.training.student_variables
    if file is None:
        return None
    found, matched = _matched(file, config.distillation.student, dataset, "--student-variables")
    rest = "; the rest is initialised" if matched.unmatched else ""
    report = f"--student-variables {file}: {matched.report}{rest}"
    return GivenVariables((found,), (Path(file).name,), matched.sha256, report)


def given_teacher(config: RunConfig, dataset: ImageDataset) -> GivenVariables | None:
    """Return the parameters of a run's teacher, one pytree a checkpoint; None where it is trained.

    Raises:
      InputError: a file that cannot be read, or one without all of the model's arrays.
    """
    files = config.teaching.teacher_variables
    if not files:
        return None
    digest, variables, report = hashlib.sha256(), [], ""
    for file in files:
        _, matched = _matched(file, config.distillation.teacher, dataset, "--teacher-variables")
        report = f"--teacher-variables {file}: {matched.report}"
        if matched.unmatched:
            raise InputError(f"{report}; a teacher that is not trained needs all of them")
        variables.append(matched.variables)
        digest.update(matched.sha256.encode())
    names = tuple(Path(file).name for file in files)
    return GivenVariables(tuple(variables), names, digest.hexdigest(), report)


def _matched(
    file: str, name: str, dataset: ImageDataset, flag: str
) -> tuple[Variables, models.Matched]:
    """Return what a file holds, and how it matches a named model."""
    path = Path(file)
    like = models.abstract_variables(models.create(name, dataset.num_outputs), dataset.image_shape)
    found = held_variables(path, like)
    return found, models.match_variables(like, found, f"{flag} {file}")
