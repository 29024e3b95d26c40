"""Samples for `certificates.py`: images in a random order, kernels and teachers made without them.

What trains a network is stored in a folder: a second call reads it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from kdtheory import models
from kdtheory.bounds import unit_diagonal
from kdtheory.datasets import AugmentConfig, ImageDataset, default_augmentation, from_arrays, load
from kdtheory.ntk import gram, operator
from kdtheory.targets import Labels, soft_targets
from kdtheory.training import OptimizerConfig, Trainer, predict_logits

#: (sample, kernel) of what was measured before, and is not made again.
Done = Collection[tuple[str, str]]

#: Pixels a side of the problems whose whole sample is measured by random features.
SIDES = {"halves": 16, "halves32": 32}

EARLY = "early checkpoint, τ = 1"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    problems: tuple[str, ...] = ("digits", "pairs", "halves", "halves32")
    """digits, pairs, halves, halves32."""
    sizes: tuple[int, ...] = (250, 500, 1_000)
    """Examples n of digits and pairs."""
    large_sizes: tuple[int, ...] = (250, 1_000, 4_000)
    """Examples n of halves, beside its 25,000."""
    draws: int = 5
    """Samples of the digits."""
    pairs: int = 200
    """Pairs of classes."""
    pairs_at_init: int = 20
    """Pairs whose kernel at initialisation is measured too."""
    epochs: int = 10
    """Of the network of the trained kernel."""
    teacher_epochs: int = 10
    """Of the teacher of halves; the others, of fewer images, make twice as many."""
    features: int = 2_048
    """Of halves' kernel at n = 25,000."""
    seed: int = 0
    """Of all draws."""
    out: Path = Path("experiments/results/certificates")
    """Folder for PROBLEM.json (config and provenance), PROBLEM.csv (rows), table.md, figure."""
    work: Path = Path("runs/certificates")
    """Folder for the checkpoints of what is trained, so that a second call trains nothing."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Images in a random order, a kernel that was made without them, and their supervisions."""

    name: str
    kernel_name: str
    kernel: np.ndarray
    """(N, M) with a unit diagonal: rows sample and test images, columns the sample's."""
    labels: np.ndarray
    """(N,), 0 or 1."""
    targets: Mapping[str, np.ndarray]
    """By arm, (N, 1); only labels for images that the teacher saw."""
    sizes: tuple[int, ...]
    of_teacher: int
    """The teacher saw no image before this one."""
    first_test: int | None = None
    """Where the test images begin; None: after each n."""


def arms(labels: np.ndarray, final: np.ndarray, early: np.ndarray) -> dict[str, np.ndarray]:
    """Return each arm's targets from labels and the logits of a teacher's two checkpoints."""
    y = 2.0 * labels[:, None] - 1
    one, four = (np.asarray(soft_targets(final, tau), float) for tau in (1.0, 4.0))
    return {
        "labels": y,
        "offline, τ = 1": one,
        "offline, τ = 4": four,
        EARLY: np.asarray(soft_targets(early, 1.0), float),
        "half labels, τ = 1": (y + one) / 2,
        "half labels, τ = 4": (y + four) / 2,
    }


def trained(
    name: str, data: ImageDataset, folder: Path, *, epochs: int, key: jax.Array,
    augmentation: AugmentConfig | None = None,
) -> tuple[Any, tuple[Any, Any]]:  # fmt: skip
    """Return a model that was trained on a data set's labels, after a quarter and after all."""
    trainer = Trainer(
        module=models.create(name, data.num_outputs), image_shape=data.image_shape,
        examples=len(data.train), epochs=epochs, augmentation=augmentation,
        batch_size=64 if len(data.train) < 1_000 else 128,
        optimizer=OptimizerConfig(),
    )  # fmt: skip
    init_key, train_key = jax.random.split(key)
    points = sorted({trainer.epoch_steps * epoch for epoch in (max(1, epochs // 4), epochs)})
    found = trainer.train(
        Labels(data.num_outputs), trainer.place(data.train, mean=data.mean, std=data.std),
        init_key=init_key, train_key=train_key, points=points, folder=folder, name=str(folder),
    )  # fmt: skip
    stages = [variables for _, variables in found]
    return trainer.module, (stages[0], stages[-1])


def kernel_of(model: Any, variables: Any, x: np.ndarray, columns: int) -> np.ndarray:
    """Return the kernel of all images and the first `columns`, with a unit diagonal."""
    square = gram(model.apply, variables, x[:columns]).astype(np.float64)
    diagonal = square.diagonal()
    if columns == len(x):
        return unit_diagonal(square, diagonal)
    cross = gram(model.apply, variables, x[columns:], x[:columns])
    own = operator(model.apply, variables, x[columns:]).diagonal().sum(axis=1)
    return np.concatenate([unit_diagonal(square, diagonal), unit_diagonal(cross, own, diagonal)])


def scaled(data: ImageDataset, images: np.ndarray) -> np.ndarray:
    """Return images with the statistics of the images that trained the networks."""
    return (images.astype(np.float32) / 255 - np.asarray(data.mean)) / np.asarray(data.std)


def logits_of(model: Any, data: ImageDataset, images: np.ndarray) -> Callable[[Any], np.ndarray]:
    """Return variables -> logits on images."""
    return lambda variables: predict_logits(
        model.apply, variables, images, mean=data.mean, std=data.std, batch_size=512
    )


def both_kernels(
    options: Options, name: str, data: ImageDataset, folder: Path
) -> dict[str, tuple[Any, Any]]:
    """Return by kernel a model of one output and its variables: trained, and at initialisation.

    Where the network had more outputs the trained one has a new head, at its initialisation.
    """
    key = jax.random.key(options.seed + 1)
    _, (_, learnt) = trained(name, data, folder, epochs=options.epochs, key=key)
    model = models.create(name, 1)
    fresh = models.init(model, key, data.image_shape)
    moved = jax.tree.map(lambda a, b: b if a.shape == b.shape else a, fresh, learnt)
    return {"trained": (model, moved), "initialisation": (model, fresh)}


def digits(options: Options, done: Done) -> Iterator[Sample]:
    """Yield five draws of a sample, with both kernels."""
    whole = load("digits", task="even_odd", validation_size=0)
    images = np.concatenate([whole.train.images, whole.test.images])
    labels = np.concatenate([whole.train.labels, whole.test.labels])
    for draw in range(options.draws):
        order = np.random.default_rng([options.seed, draw]).permutation(len(labels))
        others, order = order[:500], order[500:]
        data = from_arrays(
            images[others], labels[others], test=(images[order], labels[order]),
            validation_size=0, name="digits",
        )  # fmt: skip
        folder = options.work / f"digits-{draw}"
        teacher, (early, final) = trained(
            "resnet8", data, folder / "teacher", epochs=2 * options.teacher_epochs,
            key=jax.random.key(options.seed),
        )  # fmt: skip
        logits = logits_of(teacher, data, images[order])
        kernels = both_kernels(options, "mlp512x1", data, folder / "kernel")
        for kernel, (model, variables) in kernels.items():
            if (f"draw {draw}", kernel) in done:
                continue
            yield Sample(
                name=f"draw {draw}", kernel_name=kernel, labels=labels[order],
                kernel=kernel_of(model, variables, scaled(data, images[order]), len(order)),
                targets=arms(labels[order], logits(final), logits(early)),
                sizes=options.sizes, of_teacher=len(order),
            )  # fmt: skip


def pairs(options: Options, done: Done) -> Iterator[Sample]:
    """Yield pairs of classes 50 to 99: 800 images each that the teacher did not see, then 400."""
    shape = {"image_size": (16, 16), "validation_size": 0}
    old = load("cifar100", task="classes:0-49", **shape)
    kernels = both_kernels(options, "lenet5x2", old, options.work / "pairs" / "kernel")
    new = load("cifar100", task="classes:50-99", **shape)
    images = np.concatenate([new.train.images, new.test.images])
    labels = np.concatenate([new.train.labels, new.test.labels])
    rng = np.random.default_rng(options.seed)
    seen = np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:200] for c in range(50)])
    unseen = np.setdiff1d(np.arange(len(labels)), seen)
    data = from_arrays(
        images[seen], labels[seen], test=(images[unseen], labels[unseen]), validation_size=0,
        name="classes 50 to 99",
    )  # fmt: skip
    teacher, (early, final) = trained(
        "resnet8", data, options.work / "pairs" / "teacher",
        epochs=2 * options.teacher_epochs, key=jax.random.key(options.seed),
        augmentation=default_augmentation("cifar100", data.image_shape),
    )  # fmt: skip
    logits = logits_of(teacher, data, images)
    of_final, of_early = logits(final), logits(early)
    for index in range(options.pairs):
        rng = np.random.default_rng([options.seed, index])
        one, other = rng.choice(50, 2, replace=False)
        members = np.flatnonzero((labels == one) | (labels == other))
        known = np.isin(members, seen)
        chosen = np.concatenate([rng.permutation(members[~known]), rng.permutation(members[known])])
        # Of fifty logits those of the two classes: their difference is the logit of the pair.
        final_logit, early_logit = (
            (values[chosen, other] - values[chosen, one])[:, None]
            for values in (of_final, of_early)
        )
        binary = (labels[chosen] == other).astype(int)
        for kernel, (model, variables) in kernels.items():
            if kernel == "initialisation" and index >= options.pairs_at_init:
                continue
            name = f"{index}: {one + 50} against {other + 50}"
            if (name, kernel) in done:
                continue
            yield Sample(
                name=name, kernel_name=kernel, labels=binary,
                kernel=kernel_of(model, variables, scaled(old, images[chosen]), len(chosen)),
                targets=arms(binary, final_logit, early_logit), sizes=options.sizes,
                of_teacher=int((~known).sum()),
            )  # fmt: skip


def halves_data(
    options: Options, problem: str
) -> tuple[ImageDataset, dict[str, tuple[Any, Any]], dict[str, Any]]:
    """Return the data, both kernels' networks, and the targets of the sample's images.

    At 32x32 there is no teacher, which would cost more than all the rest.
    """
    side = SIDES[problem]
    data = load(
        "cifar100", task="first_half", image_size=(side, side), validation_size=0,
        certify_size=25_000, seed=options.seed,
    )  # fmt: skip
    assert data.sample is not None
    kernels = both_kernels(options, "lenet5x2", data, options.work / problem / "kernel")
    if problem == "halves32":
        return data, kernels, {"labels": 2.0 * data.sample.labels[:, None] - 1}
    teacher, (early, final) = trained(
        "resnet8", data, options.work / problem / "teacher", epochs=options.teacher_epochs,
        key=jax.random.key(options.seed),
        augmentation=default_augmentation("cifar100", data.image_shape),
    )  # fmt: skip
    logits = logits_of(teacher, data, data.sample.images)
    return data, kernels, arms(data.sample.labels, logits(final), logits(early))


def halves(options: Options, done: Done) -> Iterator[Sample]:
    """Yield both kernels on the beginning of the sample."""
    data, kernels, targets = halves_data(options, "halves")
    n, checked = max(options.large_sizes), 2_000
    assert data.sample is not None
    images = np.concatenate([data.sample.images[:n], data.test.images[:checked]])
    labels = np.concatenate([data.sample.labels[:n], data.test.labels[:checked]])
    for kernel, (model, variables) in kernels.items():
        if ("sample", kernel) in done:
            continue
        yield Sample(
            name="sample", kernel_name=kernel, labels=labels,
            kernel=kernel_of(model, variables, scaled(data, images), n),
            targets={arm: values[:n] for arm, values in targets.items()},
            sizes=options.large_sizes, of_teacher=n, first_test=n,
        )  # fmt: skip


def whole_only(options: Options, done: Done) -> Iterator[Sample]:
    """Yield nothing: the whole sample alone is measured."""
    yield from ()


PROBLEMS: dict[str, Callable[[Options, Done], Iterator[Sample]]] = {
    "digits": digits,
    "halves": halves,
    "halves32": whole_only,
    "pairs": pairs,
}
