"""Measure products of `kdtheory.ntk.operator` beside neural-tangents' and an inference pass.

    python -m benchmarks.operator --model lenet5x1 --n 50000 --d 100 --out benchmarks/operator.json

One process, the ways in turn and repeatedly, after one turn outside the timing; minima of both
clocks. The unit is an inference pass: the logits of all n examples in the operator's own batches,
compiled.

- "product": K v, with a forward pass in each of its two passes over the data;
- "kept": K v from kept linearisations (`keep_linearization=True`);
- "residual": (w, J^T w) for w = J u - y, one pass, what an iteration of the route "dual" takes;
- "neural_tangents": K v by `empirical_ntk_vp_fn`, compiled, all examples in one call, as its
  documentation has it, where n is at most --untiled-n.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import rich.console
import rich.table
import tyro

from benchmarks.gram import machine
from kdtheory import datasets, models
from kdtheory.files import write_whole
from kdtheory.ntk import neural_tangents, operator


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    model: str = "lenet5x1"
    """Name of the model, at its initialisation."""
    dataset: str | None = None
    """Images of this set, such as cifar100, in place of random ones of 32 x 32 x 3."""
    n: int = 4096
    """Examples."""
    d: int = 100
    """Outputs."""
    batch_size: int = 64
    """Of the operator and of the inference pass."""
    ways: tuple[str, ...] = ("inference", "product", "kept", "residual", "neural_tangents")
    """Which ways."""
    untiled_n: int = 4096
    """Above it neural-tangents' function, which takes all examples at once, is left out."""
    repeats: int = 3
    """Timed turns."""
    out: pathlib.Path | None = None
    """JSON file."""


def images(config: Config) -> np.ndarray:
    """Return the inputs, (n, ...)."""
    if config.dataset is None:
        return np.random.default_rng(0).normal(size=(config.n, 32, 32, 3)).astype(np.float32)
    data = datasets.load(config.dataset, train_size=config.n, validation_size=0, test_size=1)
    return np.asarray(datasets.normalize(data.train.images, data.mean, data.std))


def ways(config: Config) -> dict[str, Callable[[], Any]]:
    """Return the ways by name; all but "inference" and "residual" return K v."""
    x = images(config)
    model = models.create(config.model, config.d)
    variables = models.init(model, jax.random.key(0), x.shape[1:])
    vector = np.random.default_rng(1).normal(size=config.n * config.d).astype(np.float32)
    size = config.batch_size
    kernel = operator(model.apply, variables, x, batch_size=size)
    direction = np.random.default_rng(2).normal(size=kernel.jacobian.shape[1]).astype(np.float32)
    apply = jax.jit(model.apply)

    def inference() -> list[np.ndarray]:
        results = [apply(variables, x[i : i + size]) for i in range(0, config.n, size)]
        return [np.asarray(result) for result in results]

    found: dict[str, Callable[[], Any]] = {
        "inference": inference,
        "product": lambda: kernel @ vector,
        "residual": lambda: kernel.jacobian.residual(direction, vector, -1.0),
    }
    if "kept" in config.ways:
        keeping = operator(model.apply, variables, x, batch_size=size, keep_linearization=True)
        found["kept"] = lambda: keeping @ vector
    if "neural_tangents" in config.ways and config.n <= config.untiled_n:
        nt = neural_tangents.load()
        rest = {name: value for name, value in variables.items() if name != "params"}

        @jax.jit
        def product(params: Any, x: Any, cotangents: Any) -> Any:
            return nt.empirical_ntk_vp_fn(
                lambda params, x: model.apply({"params": params, **rest}, x), x, None, params
            )(cotangents)

        shaped = vector.reshape(config.n, config.d)
        found["neural_tangents"] = lambda: np.asarray(
            product(variables["params"], x, shaped)
        ).ravel()
    return {name: found[name] for name in config.ways if name in found}


def main(config: Config) -> None:
    """Measure, print the table, write the JSON file."""
    console = rich.console.Console(width=110)
    about = machine()
    console.print(str(about))
    able = ways(config)
    rows: dict[str, dict[str, Any]] = {}
    results: dict[str, Any] = {}
    for turn in range(config.repeats + 1):
        for name, run in able.items():
            wall, cpu = time.perf_counter(), time.process_time()
            results[name] = run()
            seconds = time.perf_counter() - wall, time.process_time() - cpu
            row = rows.setdefault(name, {"way": name, "seconds": np.inf, "cpu_seconds": np.inf})
            if turn:
                row["seconds"] = min(row["seconds"], seconds[0])
                row["cpu_seconds"] = min(row["cpu_seconds"], seconds[1])
    reference = results.get("product")
    table = rich.table.Table()
    table.add_column("way")
    for head in ("s", "passes", "CPU s", "passes", "difference"):
        table.add_column(head, justify="right")
    for name, row in rows.items():
        row["passes"] = row["seconds"] / rows["inference"]["seconds"]
        row["cpu_passes"] = row["cpu_seconds"] / rows["inference"]["cpu_seconds"]
        row["difference"] = None
        if name in ("kept", "neural_tangents") and reference is not None:
            apart = np.linalg.norm(results[name] - reference) / np.linalg.norm(reference)
            row["difference"] = float(apart)
        table.add_row(
            name, f"{row['seconds']:.3f}", f"{row['passes']:.2f}", f"{row['cpu_seconds']:.3f}",
            f"{row['cpu_passes']:.2f}", "" if row["difference"] is None else
            f"{row['difference']:.1e}",
        )  # fmt: skip
    console.print(table)
    if config.out is not None:
        content = {
            "machine": about,
            "config": {**dataclasses.asdict(config), "out": str(config.out)},
            "rows": list(rows.values()),
        }
        write_whole(config.out, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config))
