"""A teacher whose logits are known: from a file, or from a function that is asked once."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from kdtheory.array_files import ALONE, arrays_in, opened
from kdtheory.datasets import ImageDataset, Split
from kdtheory.errors import InputError
from kdtheory.runs.network import SplitLogits, splits_of
from kdtheory.runs.teacher_checkpoints import given_points
from kdtheory.targets.decisions import accuracy
from kdtheory.targets.functions import function_logits, teacher_function
from kdtheory.targets.tabulated import chance_of

#: What the arrays of an archive may be called.
NAMES = ("train", "validation", "test", "ids", "validation_ids", "test_ids", "steps")

#: Rows that sum to one within this are probabilities: no network's logits do by chance.
_SUM_TOLERANCE = 1e-3


class KnownTeacher(NamedTuple):
    """A teacher's logits on the splits of a data set, at each of its checkpoints."""

    name: str
    """The file's or function's, which stands for the teacher in rows and tables."""
    logits: tuple[SplitLogits, ...]
    """One a checkpoint; "train" always, the other splits where the file has them."""
    steps: tuple[int, ...] | None
    """Each checkpoint's step, where the file says so."""
    sha256: str
    """Of the file, or of the logits."""
    source: str = "file"
    """Either "file" or "function"."""

    def steps_for(self, total_steps: int) -> tuple[int, ...]:
        """Return each checkpoint's step: the file's, or evenly spread over a student's T steps.

        Raises:
          InputError: more checkpoints than steps to spread them over.
        """
        if self.steps is not None:
            return self.steps
        return given_points(len(self.logits), total_steps, self.name)

    def provenance(self) -> dict[str, Any]:
        """Return what a run says of it, in JSON's types."""
        return {
            self.source: self.name,
            "sha256": self.sha256,
            "checkpoints": len(self.logits),
            "splits": sorted(self.logits[0]),
        }


def read_teacher_file(path: Path, dataset: ImageDataset) -> KnownTeacher:
    """Read a teacher's logits, matched to the examples of a data set.

    - `.npy`: logits of the training split, (n, d), or (m, n, d) of m checkpoints in time.
    - `.npz`, `.safetensors`: arrays "train" (the same), and if wanted "validation" and "test";
      "ids" (and "validation_ids", "test_ids"), by which rows are matched, of more examples than
      these if you like; "steps" (m,), rising: the checkpoints' steps.

    Without ids the rows are in the order of `kdtheory data export`, and the teacher must be better
    than chance: of shuffled rows it is not. For two classes d is 1 (the logit of class 1), or 2,
    of which the difference z_1 - z_0 is the logit.

    Raises:
      InputError: what is no file of logits of these examples; one line that says why.
    """
    arrays, content = _arrays(path)
    unknown = sorted(set(arrays) - set(NAMES))
    if unknown or "train" not in arrays:
        what = f"has {', '.join(unknown)}" if unknown else "has no array named train"
        raise InputError(f"{path} {what}; allowed: {', '.join(NAMES)}")
    by_split: dict[str, Float[np.ndarray, "m n d"]] = {}
    for name, split in splits_of(dataset).items():
        if name in arrays:
            ids = arrays.get("ids" if name == "train" else f"{name}_ids")
            by_split[name] = _matched(arrays[name], split, dataset, f"{path}: {name}", ids)
    checkpoints = {len(values) for values in by_split.values()}
    if len(checkpoints) > 1:
        raise InputError(
            f"{path} has different numbers of checkpoints for its splits: "
            + ", ".join(f"{name} {len(values)}" for name, values in by_split.items())
        )
    m = checkpoints.pop()
    if "ids" not in arrays:
        _check_order(by_split["train"][-1], dataset.train, path)
    logits = tuple({name: values[i] for name, values in by_split.items()} for i in range(m))
    steps = _steps(arrays["steps"], m, path) if "steps" in arrays else None
    return KnownTeacher(path.name, logits, steps, hashlib.sha256(content).hexdigest())


def function_teacher(name: str, dataset: ImageDataset) -> KnownTeacher:
    """Ask a registered function about every example of a data set, once.

    Raises:
      InputError: an unknown name, or what it returns are no logits of these examples, as
        `read_teacher_file`.
    """
    function, digest = teacher_function(name), hashlib.sha256()
    logits: SplitLogits = {}
    for split_name, split in splits_of(dataset).items():
        asked = function_logits(function, split.images)
        matched = _matched(asked, split, dataset, f"teacher function {name}: {split_name}", None)
        logits[split_name] = matched[-1]
        digest.update(f"{split_name} {matched.shape}".encode() + matched.tobytes())
    return KnownTeacher(name, (logits,), None, digest.hexdigest(), "function")


def _arrays(path: Path) -> tuple[Mapping[str, np.ndarray], bytes]:
    """Return the arrays of a file, and its bytes."""
    with opened(path) as file:
        content = file.read()
    arrays = arrays_in(io.BytesIO(content), path, forms=(".npy", ".npz", ".safetensors"))
    return {"train" if name == ALONE else name: each for name, each in arrays.items()}, content


def _matched(
    values: np.ndarray, split: Split, dataset: ImageDataset, where: str, ids: np.ndarray | None
) -> Float[np.ndarray, "m n d"]:
    """Return the logits (m, n, d) of a split's examples, in its order, as float32."""
    if values.ndim not in (2, 3) or not np.issubdtype(values.dtype, np.floating):
        raise InputError(
            f"{where} must be floating logits of shape (n, d) or (checkpoints, n, d), got "
            f"{values.dtype} of {values.shape}"
        )
    logits = (values[None] if values.ndim == 2 else values).astype(np.float32)
    width = logits.shape[-1]
    if not logits.shape[0]:
        raise InputError(f"{where} has no checkpoint")
    if not np.isfinite(logits).all():
        raise InputError(f"{where} has logits that are not finite")
    if width > 1 and (logits >= 0).all() and _sums_to_one(logits):
        raise InputError(
            f"{where} holds probabilities, and logits are wanted: save the network's outputs "
            "before the softmax (the logarithm of the probabilities will do)"
        )
    if dataset.binary and width == 2:
        logits = logits[..., 1:] - logits[..., :1]
    elif width != dataset.num_outputs:
        also = " or 2" if dataset.binary else ""
        raise InputError(
            f"{where} has {width} logits an example; the task {dataset.task!r} has "
            f"{dataset.num_outputs}{also}"
        )
    return _in_order(logits, split, where, ids)


def _sums_to_one(logits: Float[np.ndarray, "m n d"]) -> bool:
    return bool(np.allclose(logits.sum(axis=-1), 1, atol=_SUM_TOLERANCE))


def _in_order(
    logits: Float[np.ndarray, "m k d"], split: Split, where: str, ids: np.ndarray | None
) -> Float[np.ndarray, "m n d"]:
    count = logits.shape[1]
    if ids is None:
        if count != len(split):
            raise InputError(
                f"{where} has {count:,} rows for the {len(split):,} examples of this run; give "
                "their ids, or the logits of kdtheory data export's images"
            )
        return logits
    if ids.shape != (count,) or not np.issubdtype(ids.dtype, np.integer):
        raise InputError(
            f"{where} needs one integer id a row, ({count},), got {ids.dtype} of {ids.shape}"
        )
    order = np.argsort(ids, kind="stable")
    found = ids[order]
    if (found[1:] == found[:-1]).any():
        repeated = found[1:][found[1:] == found[:-1]][0]
        raise InputError(f"{where} has the id {repeated} twice")
    place = np.minimum(np.searchsorted(found, split.places), count - 1)
    missing = found[place] != split.places
    if missing.any():
        raise InputError(
            f"{where} has no row for {int(missing.sum()):,} of the {len(split):,} examples, such "
            f"as id {split.places[missing][0]}"
        )
    return logits[:, order[place]]


def _check_order(logits: Float[np.ndarray, "n d"], split: Split, path: Path) -> None:
    right = accuracy(logits, split.labels)
    chance = chance_of(right, split.labels)
    if chance is not None:
        raise InputError(
            f"{path}: its last checkpoint is right for {right:.1%} of the {len(split):,} "
            f"training labels (chance: {chance:.1%}); are the rows in the order of kdtheory data "
            "export's train/images.npy? If this teacher is meant, give their ids"
        )


def _steps(steps: np.ndarray, checkpoints: int, path: Path) -> tuple[int, ...]:
    if (
        steps.shape != (checkpoints,)
        or not np.issubdtype(steps.dtype, np.integer)
        or steps.min(initial=1) < 1
        or (np.diff(steps) <= 0).any()
    ):
        raise InputError(
            f"{path}: steps must be {checkpoints} rising integers from 1 on, one a checkpoint, got "
            f"{steps.tolist()!r:.80}"
        )
    return tuple(int(step) for step in steps)
