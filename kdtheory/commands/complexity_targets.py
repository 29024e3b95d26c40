"""The targets of `kdtheory complexity` on a model and data: labels, random ones, a teacher's."""

import bisect
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from kdtheory.arms import Supervision
from kdtheory.errors import InputError

if TYPE_CHECKING:
    from kdtheory.commands.complexity import ComplexityOf
    from kdtheory.measure.examples import KernelExamples
    from kdtheory.runs.teacher_file import KnownTeacher


class NamedTargets(NamedTuple):
    """Sets of targets by name, each (n, d)."""

    sets: dict[str, Float[np.ndarray, "n d"]]
    """Those that are the same at every step of the network."""
    teacher: "KnownTeacher | None"
    """Of whose checkpoints the online ones are made."""
    stacked: bool
    """Whether there may be several."""


def named_targets(options: "ComplexityOf", examples: "KernelExamples") -> NamedTargets:
    """Return the sets of targets that a command asks for.

    Raises:
      InputError: a file that cannot be read, or targets that do not fit the network's outputs.
    """
    several = options.teacher_logits is not None or options.checkpoints is not None
    default = ("random", "labels") if several else ("labels",)
    stacked = several
    sets: dict[str, np.ndarray] = {}
    for name in default if options.targets is None else (options.targets,):
        if name in ("labels", "random"):
            sets |= _labels(options, examples, name)
        else:
            found, of_stack = _in_file(options, examples, Path(name))
            sets, stacked = sets | found, stacked or of_stack
    teacher = None
    if options.teacher_logits is not None:
        teacher = _teacher(options, examples, options.teacher_logits)
        sets |= _teachers_targets(options, examples, teacher, -1, "offline")
    return NamedTargets(_centred(options, sets), teacher, stacked)


def online_targets(
    options: "ComplexityOf",
    examples: "KernelExamples",
    targets: NamedTargets,
    *,
    step: int,
    last_step: int,
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Return the online teacher's targets at a step; none of a teacher of one checkpoint.

    They come from the first checkpoint t_i >= step, after the last from the last (Harutyunyan et
    al., ICLR 2023, Algorithm 1).

    Raises:
      InputError: more checkpoints of the teacher than steps to spread them over.
    """
    teacher = targets.teacher
    if teacher is None or len(teacher.logits) == 1:
        return {}
    steps = teacher.steps_for(last_step)
    place = min(bisect.bisect_left(steps, step), len(steps) - 1)
    return _centred(options, _teachers_targets(options, examples, teacher, place, "online"))


def _labels(
    options: "ComplexityOf", examples: "KernelExamples", name: str
) -> dict[str, Float[np.ndarray, "n d"]]:
    from kdtheory.datasets import encode_labels

    d, labels = examples.dataset.num_outputs, examples.labels
    if options.kernel.outputs == "sum" and d > 1:
        raise InputError(
            f"--targets {name} has {d} outputs an example, --outputs sum one; give a file, or "
            "--outputs full"
        )
    if name == "random":
        drawn = np.random.default_rng(options.seed).integers(0, max(d, 2), size=len(labels))
        labels = drawn.astype(labels.dtype)
    values = np.asarray(encode_labels(labels, d), np.float64).reshape(len(labels), d)
    return {"random labels" if name == "random" else name: values}


def _in_file(
    options: "ComplexityOf", examples: "KernelExamples", path: Path
) -> tuple[dict[str, Float[np.ndarray, "n d"]], bool]:
    """Return the sets in a file, and whether it is a stack of them."""
    from kdtheory.array_files import FORMS
    from kdtheory.complexity.stacks import stack_targets
    from kdtheory.measure.kernel_file import load_array

    if not path.suffix:
        raise InputError(
            f"--targets must be labels, random or a file ({', '.join(FORMS)}), got {str(path)!r}"
        )
    n = len(examples.labels)
    d = 1 if options.kernel.outputs == "sum" else examples.dataset.num_outputs
    values = load_array(path, options.targets_key, flag="--targets-key")
    if values.shape not in ((n * d,), (n, d)) and values.shape[1:] not in ((n, d), (n * d,)):
        raise InputError(
            f"{path} has shape {values.shape}; allowed: ({n}, {d}), ({n * d},), or a stack of such"
        )
    stack = stack_targets(values, size=n * d, num_outputs=d)
    each = stack.columns.T.reshape(-1, n, d)
    if not stack.stacked:
        return {path.stem: each[0]}, False
    return {f"{path.stem} {place}": one for place, one in enumerate(each)}, True


def _teacher(options: "ComplexityOf", examples: "KernelExamples", path: Path) -> "KnownTeacher":
    from kdtheory.runs.teacher_file import read_teacher_file

    if options.kernel.outputs == "sum":
        raise InputError("--teacher-logits has all outputs; leave --outputs sum out")
    try:
        return read_teacher_file(path, examples.dataset)
    except InputError as error:
        sizes = options.data.train_size is None and "give their ids" in str(error)
        hint = "; or name the data as kdtheory data export did, such as by --train-size" * sizes
        raise InputError(f"{error}{hint}") from error


def _teachers_targets(
    options: "ComplexityOf",
    examples: "KernelExamples",
    teacher: "KnownTeacher",
    place: int,
    kind: str,
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Return a checkpoint's predictions on the kernel's examples at each temperature."""
    from kdtheory.targets import soft_targets

    logits = teacher.logits[place]["train"][: len(examples.labels)]
    return {
        Supervision(kind, tau).label: np.asarray(soft_targets(logits, tau), np.float64)
        for tau in options.temperatures
    }


def _centred(
    options: "ComplexityOf", sets: dict[str, Float[np.ndarray, "n d"]]
) -> dict[str, Float[np.ndarray, "n d"]]:
    if not options.centre_targets:
        return sets
    return {name: values - values.mean(axis=0) for name, values in sets.items()}
