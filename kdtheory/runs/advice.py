"""Which supervision to distil from, judged before any student is trained.

Candidates are the checkpoints of some teachers at some temperatures and weights, and the labels
alone. One factorisation of the student's kernel says of each how well the kernel's fits to its
targets predict the *labels* of the examples that come next (`bounds.rank_supervisions`).
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from kdtheory import models
from kdtheory.bounds import rank_supervisions, unit_diagonal
from kdtheory.bounds.kernel_sample import RIDGES
from kdtheory.bounds.supervision_ranking import RankedSupervisions
from kdtheory.complexity import factorize
from kdtheory.datasets import ImageDataset, Split, normalize
from kdtheory.errors import InputError
from kdtheory.memory import check_fits, factorising_bytes
from kdtheory.ntk import gram
from kdtheory.plain_text import number_of
from kdtheory.runs.config import (
    DistillationConfig,
    MeasuringConfig,
    OutputConfig,
    RunConfig,
    TrainingConfig,
)
from kdtheory.runs.config_file import read_config
from kdtheory.runs.events import Events
from kdtheory.runs.loading import load_dataset
from kdtheory.runs.network import SplitLogits
from kdtheory.runs.runner import Runner
from kdtheory.runs.store import open_store, stored_fingerprint
from kdtheory.runs.teacher_file import read_teacher_file
from kdtheory.runs.teaching_config import TeachingConfig
from kdtheory.targets import Labels
from kdtheory.targets.decisions import accuracy
from kdtheory.targets.providers import mixture_targets
from kdtheory.training import OptimizerConfig, Trainer
from kdtheory.typing import ApplyFn, Variables

#: Endings of files of logits.
_FILES = (".npy", ".npz", ".safetensors")

#: What was measured of such advice, by experiments/advise.py: see docs/advise.md.
MEASURED = (
    "Measured on four tasks and three students, no rule of the theory beats the plain ones: the "
    "first of this ranking loses 2.10 points of test accuracy against the best candidate, one at "
    "random 1.35, the final teacher at tau 4 0.63 (docs/advise.md)."
)

_mixture_targets = jax.jit(mixture_targets)


class Teacher(NamedTuple):
    """A teacher's checkpoints, of which the logits are known."""

    name: str
    steps: tuple[int, ...]
    logits: tuple[SplitLogits, ...]
    """One a checkpoint; "train" always."""


class Candidate(NamedTuple):
    """A supervision that a student could learn from: labels, or a teacher's targets with them."""

    teacher: str | None
    """None for the labels alone."""
    step: int | None = None
    """Of the teacher's checkpoint."""
    final: bool = False
    """Whether it is the teacher's last."""
    temperature: float | None = None
    weight: float = 0.0
    """Of the teacher; the labels get the rest."""

    @property
    def label(self) -> str:
        """The candidate in words.

        >>> Candidate(None).label, Candidate("resnet8", 90, True, 4.0, 0.5).label
        ('labels', 'resnet8, final, τ = 4, weight 0.5')
        """
        if self.teacher is None:
            return "labels"
        where = "final" if self.final else f"step {self.step}"
        weight = "" if self.weight == 1 else f", weight {self.weight:g}"
        return f"{self.teacher}, {where}, τ = {self.temperature:g}{weight}"


class Advice(NamedTuple):
    """A ranking of candidates, and what it rests on."""

    candidates: tuple[Candidate, ...]
    ranked: RankedSupervisions
    plain: dict[str, int]
    """What plain rules would take: the rule in words, and the candidate's index."""
    premises: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AdviceConfig:
    """What is judged, on what."""

    student: str
    temperatures: tuple[float, ...]
    weights: tuple[float, ...]
    size: int
    """Training examples of the kernel."""
    warm_up: int
    """Epochs on the labels of the other training examples before the kernel is taken."""
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        for name in ("temperatures", "weights"):
            values = getattr(self, name)
            if not values or not all(0 < value < float("inf") for value in values):
                raise InputError(f"{name} must be numbers above 0, got {list(values)}")
        if max(self.weights) > 1:
            raise InputError(f"weights must lie in (0, 1], got {list(self.weights)}")
        if self.size < 4:
            raise InputError(f"--ntk-size must be at least 4, got {self.size}")
        if self.warm_up < 0:
            raise InputError(f"--warm-up must be at least 0, got {self.warm_up}")


def is_run(teacher: str) -> bool:
    """Return whether a teacher is named by the folder of a run."""
    return (Path(teacher) / "config.json").is_file()


def data_of(teachers: Sequence[str]) -> ImageDataset | None:
    """Return the data of the runs among the teachers; None where there is none.

    Raises:
      InputError: runs of different data.
    """
    runs = [Path(name) for name in teachers if is_run(name)]
    if not runs:
        return None
    prints = {str(run): stored_fingerprint(run / "data.json") for run in runs}
    if len(set(prints.values())) > 1:
        raise InputError(f"these runs are of different data: {', '.join(prints)}")
    return load_dataset(read_config(runs[0] / "config.json"))


def teacher_of(
    name: str, dataset: ImageDataset, *, settings: RunConfig, folder: Path, events: Events
) -> Teacher:
    """Return a teacher's logits: a run's, a file's, or those of a model that is trained here.

    Args:
      name: folder of a run, whose seed 0 is meant; a file of logits; or a model's name.
      dataset: the examples.
      settings: how a model is trained, its data among them.
      folder: where a model that is trained here is kept, as a run that has but a teacher.
      events: told of the training.

    Raises:
      InputError: none of the three, or logits of other examples.
      RunError: the training diverged, or what is stored is damaged.
    """
    path = Path(name)
    check_teacher(name, dataset)
    if path.suffix in _FILES:
        file = read_teacher_file(path, dataset)
        count = len(file.logits)
        return Teacher(path.name, file.steps or tuple(range(1, count + 1)), file.logits)
    if is_run(name):
        config = read_config(path / "config.json").replace(out=name)
    else:
        config = settings.replace(teacher=name, out=str(folder / name))
    runner = Runner(config, dataset, events)
    with open_store(config, data=runner.data_provenance()) as store:
        runner.config = store.config
        place = runner.trainers["student"].place(dataset.train, mean=dataset.mean, std=dataset.std)
        seed, _ = runner.taught(0, place, store)
    shown = f"{path.name}: {config.teacher_name}" if is_run(name) else name
    return Teacher(shown, seed.teacher.steps, seed.teacher.logits)


def check_teacher(name: str, dataset: ImageDataset) -> None:
    """Raise InputError for a name that is no model, no run's folder and no file of logits."""
    path = Path(name)
    if path.suffix in _FILES:
        if not path.is_file():
            raise InputError(f"{name}: No such file or directory")
    elif path.is_dir():
        if not is_run(name):
            raise InputError(f"{name} is no run's folder: no config.json in it")
    else:
        models.create(name, dataset.num_outputs)


def teaching_settings(
    data: Any, *, epochs: int, checkpoints: int, batch_size: int, augment: bool
) -> RunConfig:
    """Return the run that trains a teacher alone."""
    return RunConfig(
        data=data,
        distillation=DistillationConfig(arms=("labels",), seeds=1, student="mlp8x1"),
        training=TrainingConfig(epochs=epochs, batch_size=batch_size),
        teaching=TeachingConfig(teacher_checkpoints=checkpoints, teacher_augment=augment or None),
        measuring=MeasuringConfig(kernel="none"),
        output=OutputConfig(),
    )


def candidates_of(
    teachers: Sequence[Teacher], temperatures: Sequence[float], weights: Sequence[float]
) -> list[Candidate]:
    """Return the labels, and each checkpoint of each teacher at each temperature and weight.

    >>> teacher = Teacher("resnet8", (10, 20), ({}, {}))
    >>> [one.label for one in candidates_of([teacher], [4.0], [1.0])]
    ['labels', 'resnet8, step 10, τ = 4', 'resnet8, final, τ = 4']
    """
    return [
        Candidate(None),
        *(
            Candidate(teacher.name, step, step == teacher.steps[-1], temperature, weight)
            for teacher in teachers
            for step in teacher.steps
            for temperature in temperatures
            for weight in weights
        ),
    ]


def targets_of(
    candidates: Sequence[Candidate],
    teachers: Sequence[Teacher],
    labels: Int[np.ndarray, " n"],
    num_outputs: int,
) -> Float[np.ndarray, "c n d"]:
    """Return each candidate's targets on the first n training examples: probabilities, or +-1."""
    n = len(labels)
    by_name = {
        (teacher.name, step): logits["train"][:n]
        for teacher in teachers
        for step, logits in zip(teacher.steps, teacher.logits, strict=True)
    }
    nobody = np.zeros((n, num_outputs), np.float32)
    return np.stack([
        np.asarray(_mixture_targets(
            nobody if one.teacher is None or one.step is None else by_name[one.teacher, one.step],
            labels, temperature=one.temperature or 1.0, alpha=one.weight,
        ))
        for one in candidates
    ]).astype(np.float64)  # fmt: skip


def check_sizes(dataset: ImageDataset, config: AdviceConfig) -> None:
    """Raise InputError for sizes that do not fit the data or memory, or a student that is no model.

    It is raised before any teacher is trained.
    """
    n, rest = config.size, len(dataset.train) - config.size
    if rest < 0:
        raise InputError(
            f"--ntk-size must be at most the {len(dataset.train)} training examples, got {n}"
        )
    if config.warm_up and rest < config.batch_size:
        raise InputError(
            f"--warm-up trains on the training examples beyond --ntk-size {n}, of which there are "
            f"{rest}, fewer than --batch-size {config.batch_size}; lower one of them"
        )
    check_fits(
        f"a kernel of {n:,} examples and its factors", (len(RIDGES) + 1) * factorising_bytes(n),
        "lower --ntk-size",
    )  # fmt: skip
    models.create(config.student, dataset.num_outputs)


def warmed_up(
    model: Any, dataset: ImageDataset, config: AdviceConfig, *, variables: Variables
) -> Variables:
    """Return a student's variables after a short training on labels, without the kernel's examples.

    The training examples beyond these must be at least a batch (`check_sizes`).
    """
    if not config.warm_up:
        return variables
    rest = _part(dataset.train, slice(config.size, None))
    trainer = Trainer(
        module=model, image_shape=dataset.image_shape, examples=len(rest),
        epochs=config.warm_up, batch_size=config.batch_size, optimizer=OptimizerConfig(),
    )  # fmt: skip
    key = jax.random.key(config.seed)
    found = trainer.train(
        Labels(dataset.num_outputs), trainer.place(rest, mean=dataset.mean, std=dataset.std),
        init_key=key, train_key=jax.random.fold_in(key, 1), points=[trainer.total_steps],
        name="short training on labels",
    )  # fmt: skip
    return next(iter(found))[1]


def _part(split: Split, rows: slice) -> Split:
    ids = None if split.ids is None else split.ids[rows]
    return dataclasses.replace(
        split,
        images=split.images[rows],
        labels=split.labels[rows],
        clean_labels=split.clean_labels[rows],
        ids=ids,
    )


def student_kernel(
    apply_fn: ApplyFn, variables: Variables, images: Float[np.ndarray, "n h w c"], events: Events
) -> Float[np.ndarray, "n n"]:
    """Return the mean of a student's kernel over outputs, with a unit diagonal."""
    found = gram(apply_fn, variables, images, outputs="trace", on_tile=events.tile)
    return unit_diagonal(found, found.diagonal())


def advise(
    dataset: ImageDataset, teachers: Sequence[Teacher], config: AdviceConfig, events: Events
) -> Advice:
    """Rank every candidate for a student.

    Raises:
      InputError: sizes that do not fit the data or memory, a student that is no model of it.
    """
    check_sizes(dataset, config)
    n = config.size
    names = [teacher.name for teacher in teachers]
    if len(set(names)) < len(names):
        raise InputError(f"teachers must have different names, got {', '.join(names)}")
    model = models.create(config.student, dataset.num_outputs)
    fresh = models.init(model, jax.random.key(config.seed), dataset.image_shape)
    variables = warmed_up(model, dataset, config, variables=fresh)
    images = np.asarray(normalize(dataset.train.images[:n], dataset.mean, dataset.std))
    labels = dataset.train.labels[:n]
    kernel = student_kernel(model.apply, variables, images, events)
    candidates = candidates_of(teachers, config.temperatures, config.weights)
    targets = targets_of(candidates, teachers, labels, dataset.num_outputs)
    events.status("ranking the candidates")
    ranked = rank_supervisions(
        [factorize(kernel, ridge=ridge) for ridge in RIDGES], targets, labels
    )  # fmt: skip
    return Advice(
        tuple(candidates), ranked, plain_rules(candidates, teachers, dataset), _premises(config)
    )


def plain_rules(
    candidates: Sequence[Candidate], teachers: Sequence[Teacher], dataset: ImageDataset
) -> dict[str, int]:
    """Return what rules without a kernel would take, by candidate's index.

    Teachers are compared by validation accuracy, or where they have none, on training examples.
    """
    split = "validation" if all("validation" in t.logits[-1] for t in teachers) else "train"
    labels = getattr(dataset, split).labels
    right = {
        (teacher.name, step): accuracy(logits[split], labels)
        for teacher in teachers
        for step, logits in zip(teacher.steps, teacher.logits, strict=True)
    }
    tau = min({one.temperature for one in candidates if one.temperature}, key=lambda t: abs(t - 4))
    weight = max(one.weight for one in candidates)

    def index(name: str, step: int) -> int:
        return next(
            i for i, one in enumerate(candidates)
            if (one.teacher, one.step, one.temperature, one.weight) == (name, step, tau, weight)
        )  # fmt: skip

    last = max(teachers, key=lambda t: right[t.name, t.steps[-1]])
    best = max(right, key=lambda at: right[at])
    return {
        "labels": 0,
        f"the final teacher at τ = {tau:g}": index(last.name, last.steps[-1]),
        f"the most accurate checkpoint ({split}) at τ = {tau:g}": index(*best),
    }


def _premises(config: AdviceConfig) -> tuple[str, ...]:
    epochs = number_of(config.warm_up, "epoch")
    kernel = (
        f"the kernel of the student after {epochs} on the labels of other training examples"
        if config.warm_up
        else "the kernel of the student at its initialisation"
    )
    return (
        f"{kernel}, on {config.size} training examples, whose latter half is scored",
        "a trained student is taken to rank supervisions as its kernel does",
        "teachers that were trained on these examples know their labels: an estimate, no "
        "certificate",
        "one order of the examples and one initialisation",
    )
