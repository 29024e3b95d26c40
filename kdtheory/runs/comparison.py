"""One teacher, then students on every arm and seed, compared by test accuracy alone.

This is the distillation benchmarks' protocol (a fixed schedule, the accuracy after the last epoch),
without kernels: `kdtheory.runs` measures complexity. The seeds of an arm train together.
"""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np

from kdtheory import models
from kdtheory.datasets import NO_AUGMENTATION, ImageDataset, default_augmentation
from kdtheory.errors import InputError, RunError, unknown_name
from kdtheory.targets import Labels, check_alpha, check_temperature, offline, online
from kdtheory.targets.trajectory import Trajectory, stack
from kdtheory.training import (
    OptimizerConfig,
    Pause,
    TrainingData,
    TrainState,
    default_steps_per_dispatch,
    handle_sigterm,
    in_precision,
    init_state,
    make_optimizer,
    make_train_chunk,
    predict_logits,
    resumable,
    run_many,
    steps_per_epoch,
    training_data,
)
from kdtheory.typing import Variables

ARMS = ("labels", "offline", "online")

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """What is trained; the defaults are the usual CIFAR-100 setting."""

    teacher: str = "resnet56"
    """Name of the teacher's model."""
    student: str = "resnet20"
    """Name of the student's model."""
    arms: tuple[str, ...] = ARMS
    """How students are supervised."""
    seeds: int = 3
    """Students an arm; they have one teacher, whose seed is 0."""
    temperature: float = 4.0
    """tau of the teacher's targets."""
    alpha: float = 0.9
    """Weight of the teacher in the loss; the labels get 1 - alpha."""
    epochs: int = 240
    """Passes of the teacher, and of every student, over the training split."""
    teacher_checkpoints: int = 60
    """Evenly spaced checkpoints: the online teacher's steps."""
    evaluations: int = 12
    """Evenly spaced points at which test accuracy is measured; the last epoch is one."""
    batch_size: int = 128
    """Examples an update."""
    augment: bool = True
    """The data set's usual augmentation."""
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(learning_rate=0.1))
    """Of teacher and students."""
    compute_dtype: str = "float32"
    """"bfloat16" for accelerators."""
    together: str | None = None
    """How an arm's seeds train together (default: chosen for the backend)."""

    def __post_init__(self) -> None:
        for arm in self.arms:
            if arm not in ARMS:
                raise unknown_name("arm", arm, ARMS)
        check_temperature(self.temperature)
        check_alpha(self.alpha)
        for name in ("seeds", "epochs", "teacher_checkpoints", "evaluations", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")


def spaced(epochs: int, count: int) -> list[int]:
    """Return up to `count` evenly spaced epochs, the last one included.

    >>> spaced(240, 3), spaced(2, 5)
    ([80, 160, 240], [1, 2])
    """
    count = min(count, epochs)
    return [round(i * epochs / count) for i in range(1, count + 1)]


class _Results:
    """out/config.json, out/results.jsonl and the final parameters: written whole or not at all."""

    def __init__(self, out: Path, config: ComparisonConfig, dataset: ImageDataset) -> None:
        self.out = out
        self._path = out / "results.jsonl"
        asked = {**dataclasses.asdict(config), "data": str(dataset.provenance["sha256"])}
        asked = json.loads(json.dumps(asked))
        path = out / "config.json"
        if path.exists():
            stored = json.loads(path.read_text("utf-8"))
            differing = [name for name in asked if stored.get(name) != asked[name]]
            if differing:
                which = "; ".join(
                    f"{n}: {stored.get(n)} there, {asked[n]} asked" for n in differing
                )
                raise InputError(f"{out} holds another comparison ({which}); choose another folder")
        self.write("config.json", json.dumps(asked, indent=2).encode() + b"\n")
        self.rows: list[Row] = []
        if self._path.exists():
            try:
                self.rows = [json.loads(line) for line in self._path.read_text().splitlines()]
            except ValueError as error:
                raise RunError(f"{self._path} is damaged ({error}); remove it") from error

    def write(self, name: str, content: bytes) -> None:
        temporary = self.out / f".{name}.{os.getpid()}.tmp"
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(self.out / name)
        except OSError as error:
            raise RunError(f"cannot write {self.out / name}: {error.strerror}") from error

    def has(self, network: str, epoch: int) -> bool:
        return any(row["network"] == network and row["epoch"] == epoch for row in self.rows)

    def add(self, rows: Sequence[Row]) -> None:
        self.rows.extend(rows)
        lines = "".join(json.dumps(row) + "\n" for row in self.rows)
        self.write("results.jsonl", lines.encode())

    def write_variables(self, name: str, networks: Sequence[Variables]) -> None:
        """Store final variables as name.npz, arrays under "seed0/params/Conv_0/kernel"."""
        arrays = {
            f"seed{seed}/{path}": np.asarray(leaf)
            for seed, variables in enumerate(networks)
            for path, leaf in flax.traverse_util.flatten_dict(dict(variables), sep="/").items()
        }
        temporary = self.out / f".{name}.tmp.npz"
        try:
            np.savez(temporary, **arrays)  # type: ignore[arg-type]
            temporary.replace(self.out / f"{name}.npz")
        except OSError as error:
            raise RunError(f"cannot write {self.out / name}.npz: {error.strerror}") from error


class _Group:
    """The networks of one architecture that train together."""

    def __init__(self, model: str, config: ComparisonConfig, dataset: ImageDataset) -> None:
        self.config, self.dataset = config, dataset
        self.model = models.create(model, dataset.num_outputs)
        self.epoch_steps = steps_per_epoch(len(dataset.train), config.batch_size)
        self.apply = in_precision(self.model.apply, config.compute_dtype)
        optimizer = make_optimizer(config.optimizer, config.epochs * self.epoch_steps)
        augmentation = default_augmentation(dataset.name, dataset.image_shape)
        self._init = jax.jit(lambda variables: init_state(variables, optimizer))
        self._chunk = make_train_chunk(
            self.model,
            optimizer,
            batch_size=config.batch_size,
            augmentation=(
                augmentation if config.augment and augmentation != NO_AUGMENTATION else None
            ),
            length=default_steps_per_dispatch(self.epoch_steps),
            compute_dtype=config.compute_dtype,
        )

    def train(
        self,
        name: str,
        supervision: Any,
        data: TrainingData,
        keys: Sequence[jax.Array],
        epochs: Sequence[int],
        folder: Path,
        on_epoch: Callable[[str, int, float], None] | None,
    ) -> Iterator[tuple[int, list[Variables]]]:
        """Train a network for each key; yield (epoch, their variables) at each of the epochs."""
        shape, steps = self.dataset.image_shape, self.epoch_steps
        init_keys, train_keys = zip(*(jax.random.split(key) for key in keys), strict=True)
        initial = [self._init(models.init(self.model, key, shape)) for key in init_keys]
        names = [f"{name}, seed {seed}" for seed in range(len(keys))]

        def on_chunk(step: int, loss: float) -> None:
            if on_epoch is not None and step % steps == 0:
                on_epoch(name, step // steps, loss)

        def train(
            states: list[TrainState], stops: Sequence[int], pause: Pause
        ) -> Iterator[list[TrainState]]:
            return run_many(
                self._chunk, states, [supervision] * len(keys), data, train_keys, stops=stops,
                together=self.config.together, names=names, on_chunk=on_chunk, pause=pause,
            )  # fmt: skip

        points = [epoch * steps for epoch in epochs]
        for step, variables in resumable(train, initial, folder=folder, points=points, name=name):
            yield step // steps, variables

    def test_accuracy(self, variables: Variables) -> float:
        """Return the part of the test split that is classified correctly."""
        dataset = self.dataset
        logits = predict_logits(
            self.apply, variables, dataset.test.images, mean=dataset.mean, std=dataset.std,
            batch_size=1000,
        )  # fmt: skip
        decided = logits.argmax(1) if logits.shape[1] > 1 else logits[:, 0] > 0
        return float(np.mean(decided == dataset.test.labels))


def compare(
    config: ComparisonConfig,
    dataset: ImageDataset,
    out: Path,
    *,
    work: Path | None = None,
    on_row: Callable[[Row], None] | None = None,
    on_epoch: Callable[[str, int, float], None] | None = None,
) -> list[Row]:
    """Train a teacher and students, and store accuracies and final parameters as they come.

    The same call continues what an earlier one left, after any kind of end.

    Args:
      config: what to train.
      dataset: the splits; the validation split is not looked at.
      out: folder of config.json, results.jsonl, teacher.npz and one .npz an arm.
      work: folder of the checkpoints (default: out/checkpoints).
      on_row: called with each new row.
      on_epoch: called with (network, epoch, training loss) after each epoch.

    Returns:
      Rows {"network": "teacher" or the arm, "seed", "epoch", "final", "test_accuracy", "seconds"};
      "seconds" is the time since the network's training began or went on, compilation included.

    Raises:
      InputError: the folder holds another comparison.
      RunError: a non-finite loss, a damaged checkpoint, a full disk; what was stored stays.
      Terminated: SIGTERM; the state is saved.
    """
    results = _Results(out, config, dataset)
    work = out / "checkpoints" if work is None else work
    data = training_data(dataset.train, mean=dataset.mean, std=dataset.std)
    evaluated = set(spaced(config.epochs, config.evaluations))

    def train(
        group: _Group, name: str, supervision: Any, keys: Sequence[jax.Array], epochs: Sequence[int]
    ) -> list[list[Variables]]:
        """Return the variables at each of the epochs: [epoch][seed]."""
        began, reached = time.monotonic(), []
        for epoch, networks in group.train(
            name, supervision, data, keys, epochs, work / name, on_epoch
        ):
            reached.append(networks if name == "teacher" else [])
            final = epoch == config.epochs
            if epoch in evaluated and not results.has(name, epoch):
                seconds = round(time.monotonic() - began, 2)
                rows = [
                    {
                        "network": name, "seed": seed, "epoch": epoch, "final": final,
                        "test_accuracy": group.test_accuracy(variables), "seconds": seconds,
                    }
                    for seed, variables in enumerate(networks)
                ]  # fmt: skip
                results.add(rows)
                if on_row is not None:
                    for row in rows:
                        on_row(row)
            if final:
                results.write_variables(name, networks)
        return reached

    with handle_sigterm():
        teacher = _Group(config.teacher, config, dataset)
        epochs = sorted(evaluated | set(spaced(config.epochs, config.teacher_checkpoints)))
        key = jax.random.key(0)
        line = train(teacher, "teacher", Labels(dataset.num_outputs), [key], epochs)
        trajectory = stack(
            [networks[0] for networks in line], [epoch * teacher.epoch_steps for epoch in epochs]
        )
        del line
        students = _Group(config.student, config, dataset)
        for arm in config.arms:
            supervision = _supervision(arm, config, dataset, teacher, trajectory)
            keys = [jax.random.fold_in(jax.random.key(1), seed) for seed in range(config.seeds)]
            train(students, arm, supervision, keys, sorted(evaluated))
    return results.rows


def _supervision(
    arm: str,
    config: ComparisonConfig,
    dataset: ImageDataset,
    teacher: _Group,
    trajectory: Trajectory,
) -> Any:
    settings = {"temperature": config.temperature, "alpha": config.alpha}
    if arm == "labels":
        return Labels(dataset.num_outputs)
    if arm == "offline":
        return offline(teacher.apply, trajectory.final(), **settings)
    return online(teacher.apply, trajectory, **settings)
