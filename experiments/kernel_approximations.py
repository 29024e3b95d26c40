"""Approximations of the kernel against the exact one, on real networks before and after training.

    python experiments/kernel_approximations.py [--smoke] [--out DIR]

For each of the three, on networks trained on the digits: random projections and Nystrom, error
against size and time; the sum-of-logits kernel, error along training and against width. About eight
minutes of CPU time; --smoke takes seconds. What was seen stands in docs/approximations.md.
"""

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars
import tyro
from matplotlib.figure import Figure

from kdtheory import datasets, models, ntk, training
from kdtheory.files import write_whole
from kdtheory.report.figures import render
from kdtheory.runs.provenance import provenance
from kdtheory.targets import Labels
from kdtheory.targets.decisions import accuracy
from kdtheory.typing import ApplyFn

#: One measurement: column -> value.
Row = dict[str, str | int | float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApproximationsConfig:
    """What is measured."""

    models: tuple[str, ...] = ("lenet5x1", "resnet8")
    """Networks of the random projections and Nystrom."""
    sketch_examples: int = 256
    """n of the random projections, the first training examples; with ten outputs the kernel has
    10 n rows."""
    nystrom_examples: int = 128
    """n of Nystrom."""
    epochs: int = 20
    """Length of their training."""
    dimensions: tuple[int, ...] = (128, 512, 2048, 8192)
    """m, columns of the sketches."""
    keys: int = 3
    """Repetitions of each random approximation; the median is shown."""
    landmarks: tuple[int, ...] = (4, 16, 32, 64)
    """Of Nystrom, in examples."""
    sum_models: tuple[str, ...] = ("mlp32x2", "mlp128x2", "mlp512x2", "lenet5x1", "lenet5x4")
    """Networks of the sum of logits: widths of two families."""
    sum_epochs: tuple[int, ...] = (0, 1, 2, 5, 10, 20, 40)
    """Points of one training at which the sum of logits is compared."""
    sum_examples: int = 64
    """Examples it is compared on."""
    sum_seeds: int = 3
    """Initialisations and trainings; the mean is shown."""
    train_size: int = 1024
    batch_size: int = 64
    learning_rate: float = 0.05
    """Of SGD with momentum 0.9, constant after a short warm-up."""
    weight_decay: float = 5e-4
    seed: int = 0


#: A run of seconds, whose numbers mean nothing.
SMOKE = ApproximationsConfig(
    models=("mlp8x1",),
    sketch_examples=8,
    nystrom_examples=8,
    epochs=1,
    dimensions=(32, 64),
    keys=2,
    landmarks=(2, 4),
    sum_models=("mlp4x1", "mlp8x1"),
    sum_epochs=(0, 1),
    sum_examples=6,
    sum_seeds=1,
    train_size=32,
    batch_size=16,
)


@dataclasses.dataclass(frozen=True)
class _Network:
    """A model with its variables at several epochs of one training."""

    name: str
    apply: ApplyFn
    at: dict[int, Any]


def run(out: Path, config: ApproximationsConfig) -> dict[str, list[Row]]:
    """Measure all three approximations; write figures, tables, rows, settings and provenance.

    Returns:
      {"sketch": rows, "nystrom": rows, "sum_of_logits": rows}, as written to the CSV files.
    """
    started = time.perf_counter()
    data = datasets.load("digits", train_size=config.train_size, validation_size=0)
    rows: dict[str, list[Row]] = {"sketch": [], "nystrom": [], "sum_of_logits": []}
    for name in config.models:
        network = _train(config, data, name, (0, config.epochs), seed=config.seed)
        for kind, row in _compare_to_exact(config, data, network):
            rows[kind].append(row)
        print(f"{name}: random projections, Nystrom ({time.perf_counter() - started:.0f} s)")
    for name in config.sum_models:
        for seed in range(config.sum_seeds):
            network = _train(config, data, name, config.sum_epochs, seed=config.seed + seed)
            rows["sum_of_logits"] += _sum_of_logits_rows(config, data, network, seed)
        print(f"{name}: sum of logits ({time.perf_counter() - started:.0f} s)")
    frames = {name: polars.DataFrame(found) for name, found in rows.items()}
    figures = {
        "sketch": error_figure(frames["sketch"], ["model", "epoch"], "dimension"),
        "nystrom": error_figure(frames["nystrom"], ["model", "epoch", "selection"], "landmarks"),
        "sum_of_logits": sum_of_logits_figure(frames["sum_of_logits"]),
    }
    for name, figure in figures.items():
        for form in ("png", "svg"):
            write_whole(out / f"{name}.{form}", render(figure, form))
        write_whole(out / f"{name}.csv", frames[name].write_csv())
    write_whole(out / "table.md", tables(frames))
    record = {
        "config": dataclasses.asdict(config),
        "seconds": round(time.perf_counter() - started, 1),
        "provenance": provenance(),
    }
    write_whole(out / "run.json", json.dumps(record, indent=2) + "\n")
    return rows


def _train(
    config: ApproximationsConfig,
    data: datasets.ImageDataset,
    name: str,
    epochs: Sequence[int],
    *,
    seed: int,
) -> _Network:
    """Train on the labels and keep the variables at the given epochs."""
    model = models.create(name, data.num_outputs)
    epoch_steps = training.steps_per_epoch(len(data.train), config.batch_size)
    optimizer = training.make_optimizer(
        training.OptimizerConfig(
            learning_rate=config.learning_rate,
            schedule="constant",
            weight_decay=config.weight_decay,
            gradient_clip=None,
        ),
        max(epochs) * epoch_steps,
    )
    init_key, train_key = jax.random.split(jax.random.key(seed))
    chunk = training.make_train_chunk(model, optimizer, batch_size=config.batch_size)
    state = training.init_state(models.init(model, init_key, data.image_shape), optimizer)
    states = training.run(
        chunk,
        state,
        Labels(data.num_outputs),
        training.training_data(data.train, mean=data.mean, std=data.std),
        train_key,
        stops=[epoch * epoch_steps for epoch in sorted(epochs)],
        name=name,
    )
    kept = {epoch: found.variables for epoch, found in zip(sorted(epochs), states, strict=True)}
    return _Network(name, model.apply, kept)


def _images(data: datasets.ImageDataset, count: int) -> np.ndarray:
    return np.asarray(datasets.normalize(data.train.images[:count], data.mean, data.std))


def _timed(function: Callable[..., Any], *args: Any, **settings: Any) -> tuple[Any, Row]:
    wall, cpu = time.perf_counter(), time.process_time()
    value = function(*args, **settings)
    return value, {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }


def _compare_to_exact(
    config: ApproximationsConfig, data: datasets.ImageDataset, network: _Network
) -> Iterator[tuple[str, Row]]:
    """Yield (approximation, row) for every size, key and point of training."""
    for kind, measure, count in (
        ("sketch", _sketch_rows, config.sketch_examples),
        ("nystrom", _nystrom_rows, config.nystrom_examples),
    ):
        x = _images(data, count)
        ntk.gram(network.apply, network.at[0], x)  # compiles
        for epoch, variables in network.at.items():
            exact, spent = _timed(ntk.gram, network.apply, variables, x)
            common: Row = {
                "model": network.name,
                "epoch": epoch,
                "rows": len(exact),
                **{f"exact_{name}": value for name, value in spent.items()},
            }
            compiled = epoch != min(network.at)
            for row in measure(config, network.apply, variables, x, exact, compiled):
                yield kind, {**common, **row}


def _sketch_rows(
    config: ApproximationsConfig,
    apply_fn: ApplyFn,
    variables: Any,
    x: np.ndarray,
    exact: np.ndarray,
    compiled: bool,
) -> Iterator[Row]:
    norm = float(np.linalg.norm(exact))
    keys = jax.random.split(jax.random.key(config.seed), config.keys)
    for dimension in config.dimensions:
        settings: Any = {"dimension": dimension}
        if not compiled:
            ntk.sketch(apply_fn, variables, x, key=keys[0], **settings)
        for index, key in enumerate(keys):
            found, spent = _timed(ntk.sketch, apply_fn, variables, x, key=key, **settings)
            error = found.gram - exact
            yield {
                "dimension": found.features.shape[1],
                "key": index,
                "error": float(np.linalg.norm(error)) / norm,
                "stated_error": found.relative_frobenius_error,
                "within_two_errors": _coverage(error, found.standard_error),
                **spent,
            }


def _coverage(error: np.ndarray, standard_error: np.ndarray) -> float:
    """Return the part of the entries that lie within two standard errors; exact ones left out."""
    random = standard_error > 0
    if not random.any():
        return 1.0
    return float(np.mean(np.abs(error[random]) <= 2 * standard_error[random]))


def _nystrom_rows(
    config: ApproximationsConfig,
    apply_fn: ApplyFn,
    variables: Any,
    x: np.ndarray,
    exact: np.ndarray,
    compiled: bool,
) -> Iterator[Row]:
    norm = float(np.linalg.norm(exact))
    kernel = ntk.operator(apply_fn, variables, x)
    keys = jax.random.split(jax.random.key(config.seed), config.keys)
    for count, selection in itertools.product(config.landmarks, ("uniform", "residual")):
        settings: Any = {"landmarks": count, "selection": selection, "probes": 0}
        if not compiled:
            ntk.nystrom_gram(apply_fn, variables, x, key=keys[0], **settings)
        for index, key in enumerate(keys):
            found, spent = _timed(ntk.nystrom_gram, apply_fn, variables, x, key=key, **settings)
            stated = found.estimate_frobenius_error(kernel, key)
            yield {
                "selection": selection,
                "landmarks": count,
                "rank": found.factor.shape[1],
                "key": index,
                "error": float(np.linalg.norm(found.gram - exact)) / norm,
                "stated_error": stated.value / norm,
                "stated_standard_error": stated.standard_error / norm,
                "trace_error": found.relative_trace_error,
                **spent,
            }


def _sum_of_logits_rows(
    config: ApproximationsConfig, data: datasets.ImageDataset, network: _Network, seed: int
) -> list[Row]:
    x = _images(data, len(data.train))
    rows: list[Row] = []
    for epoch, variables in network.at.items():
        logits = training.predict_logits(
            network.apply, variables, data.train.images, mean=data.mean, std=data.std
        )
        found = ntk.sum_of_logits_error(
            network.apply,
            variables,
            x,
            key=jax.random.key(config.seed),
            subset=config.sum_examples,
        )
        row: Row = {
            "model": network.name,
            "seed": seed,
            "epoch": epoch,
            "train_accuracy": accuracy(logits, data.train.labels),
        }
        for name in ("mean_error", "full_error", "best_full_error", "random_signs_error"):
            row[name], row[f"{name}_se"] = getattr(found, name)
        rows.append({**row, "scale": found.scale, "cosine": found.cosine})
    return rows


def error_figure(frame: polars.DataFrame, curve: list[str], size: str) -> Figure:
    """Draw medians over keys of the error against size and CPU time, one curve a combination.

    Dotted: the error that the approximation states; vertical: the time of the exact kernel.
    """
    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    medians = frame.group_by([*curve, size], maintain_order=True).median()
    for index, (names, part) in enumerate(medians.group_by(curve, maintain_order=True)):
        look = {"color": f"C{index % 10}", "marker": "o^sDvX"[index % 6]}
        label = ", ".join(
            f"{n} epochs" if c == "epoch" else str(n) for c, n in zip(curve, names, strict=True)
        )
        left.loglog(part[size], part["error"], label=label, **look)
        left.loglog(part[size], part["stated_error"], ":", color=look["color"], alpha=0.6)
        right.loglog(part["cpu_seconds"], part["error"], **look)
        right.axvline(part["exact_cpu_seconds"][0], color=look["color"], ls="--", lw=1)
    left.set(xlabel=size, ylabel="relative Frobenius error", title="dotted: stated")
    right.set(xlabel="CPU seconds", title="dashed: the exact kernel")
    left.set_xticks(sizes := sorted(frame[size].unique()), [f"{one:,}" for one in sizes])
    left.minorticks_off()
    left.legend(fontsize=7, frameon=False)
    return figure


def sum_of_logits_figure(frame: polars.DataFrame) -> Figure:
    """Draw the errors of the sum-of-logits kernel along training: means and ranges over seeds."""
    figure = Figure(figsize=(11.0, 8.0), layout="constrained")
    quantities = {
        "mean_error": "||K_sum - K_mean|| / ||K_mean||",
        "scale": "Tr K_sum / Tr K_mean",
        "full_error": "||K - K_sum x I|| / ||K||",
        "random_signs_error": "rms of ||K_v - K_mean|| / ||K_mean||, random signs",
    }
    for axis, (quantity, label) in zip(
        figure.subplots(2, 2).ravel(), quantities.items(), strict=True
    ):
        for index, ((model,), part) in enumerate(frame.group_by(["model"], maintain_order=True)):
            found = part.group_by("epoch", maintain_order=True).agg(
                mean=polars.col(quantity).mean(),
                low=polars.col(quantity).min(),
                high=polars.col(quantity).max(),
            )
            axis.plot(found["epoch"], found["mean"], f"C{index}", marker="o", label=str(model))
            axis.fill_between(
                found["epoch"], found["low"], found["high"], color=f"C{index}", alpha=0.15, lw=0
            )
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xticks(ticks := sorted(frame["epoch"].unique()), [f"{tick:g}" for tick in ticks])
        axis.set(xlabel="training epochs", title=label)
        axis.set_ylim(bottom=0)
    figure.axes[0].legend(fontsize=8, frameon=False)
    return figure


def tables(frames: dict[str, polars.DataFrame]) -> str:
    """Return the Markdown page: medians over keys, and for the sum of logits means over seeds."""
    of_sketch = ["model", "epoch", "rows", "dimension"]
    of_nystrom = ["model", "epoch", "rows", "landmarks", "selection"]
    of_sum = ["model", "epoch"]
    times = ["cpu_seconds", "exact_cpu_seconds"]
    sections = {
        "Random projections (medians over keys)": frames["sketch"]
        .group_by(of_sketch, maintain_order=True)
        .median()
        .select(*of_sketch, "error", "stated_error", "within_two_errors", *times),
        "Nystrom (medians over keys)": frames["nystrom"]
        .group_by(of_nystrom, maintain_order=True)
        .agg(polars.col("error", "stated_error", "trace_error", *times).median()),
        "Sum of logits (means over seeds)": frames["sum_of_logits"]
        .group_by(of_sum, maintain_order=True)
        .mean()
        .drop("seed"),
    }
    text = ["# Approximations of the kernel: digits, ten outputs"]
    for title, frame in sections.items():
        text += ["", f"## {title}", "", "| " + " | ".join(frame.columns) + " |"]
        text.append("|---" * len(frame.columns) + "|")
        for line in frame.iter_rows():
            cells = (f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in line)
            text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def main(
    out: Path = Path("experiments/results/kernel_approximations"), smoke: bool = False
) -> None:
    """Measure the approximations; write figures and tables.

    Args:
        out: folder of the results.
        smoke: everything at a size of seconds; the numbers mean nothing.
    """
    run(out, SMOKE if smoke else ApproximationsConfig())
    print(f"table: {out}/table.md    figures: {out}/*.png    every measurement: {out}/*.csv")


if __name__ == "__main__":
    tyro.cli(main)
