"""A certified supervision complexity of all of CIFAR-100: 50,000 images, 100 outputs, LeNet-5x1.

    KDTHEORY_DATA_DIR=... python experiments/certified_cifar100.py [--out DIR] [--n 4096]

K has n d = 5,000,000 rows (100 TB as float32) and rank at most P = 69,656, so it is never formed:
`complexity.certify` on `ntk.operator`, route "dual", one pass over the data an iteration. The
network is at initialisation, the targets are the one-hot labels less the mean of each output. The
iteration does not depend on the ridge, so that one run bounds the complexity for a whole grid of
them: --ridge-fractions times the mean of K's diagonal (on --diagonal-n images), largest first.
Killed and called again with the same --out, it goes on where it was.

Expected run time: 15 minutes on one core for the 60 iterations of --max-products 60, 11 s of CPU
an iteration (4.2 inference passes).
Result seen (experiments/results/certified_cifar100/table.md), float32 products, 60 iterations, mean
diagonal 39.4; every interval includes the rounding of the products:

    ridge / mean diagonal    interval of C                relative gap   iterations
    1000                     1.251694 .. 1.252521         6.6e-4         10
    100                      12.42392 .. 12.43092         5.6e-4         41
    10                       122.423 .. 122.990           4.6e-3         60
    1                        1135.7 .. 1224.2             7.8e-2         60

At --gap 1e-3 the first two are done, the others want more iterations.
"""

import itertools
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import tyro

from kdtheory import models
from kdtheory.complexity import certify, condition_estimate
from kdtheory.datasets import encode_labels, load, normalize
from kdtheory.files import write_whole
from kdtheory.ntk import operator
from kdtheory.runs.provenance import provenance


@dataclass(frozen=True)
class Config:
    """What is certified, and how far."""

    n: int = 50_000
    """Training images."""
    model: str = "lenet5x1"
    """Taken at its initialisation."""
    seed: int = 0
    """Of the initialisation and of the order of the images."""
    ridge_fractions: tuple[float, ...] = (1000.0, 100.0, 10.0, 1.0)
    """Ridges, in units of the mean of K's diagonal."""
    diagonal_n: int = 512
    """Images that this mean is computed on."""
    gap: float = 1e-3
    """Relative gap to stop at."""
    max_products: int = 400
    """Iterations at most."""
    dtype: str = "float32"
    """Of the products with J; the recurrences are in float64."""
    out: Path = Path("runs/certified_cifar100")
    """Folder of result.json and of the checkpoint."""


def main(config: Config) -> None:
    """Certify, and write result.json and table.md."""
    config.out.mkdir(parents=True, exist_ok=True)
    data = load("cifar100", train_size=config.n, validation_size=0, test_size=1, seed=config.seed)
    images = np.asarray(normalize(data.train.images, data.mean, data.std))
    targets = np.asarray(encode_labels(data.train.labels, data.num_outputs), np.float64)
    targets -= targets.mean(axis=0)
    model = models.create(config.model, data.num_outputs)
    variables = models.init(model, jax.random.key(config.seed), data.image_shape)

    sample = operator(model.apply, variables, images[: config.diagonal_n], dtype=config.dtype)
    rows = sample.diagonal().sum(axis=1, dtype=np.float64) / data.num_outputs
    mean, error = float(rows.mean()), float(rows.std(ddof=1) / np.sqrt(len(rows)))
    kernel = operator(model.apply, variables, images, dtype=config.dtype)
    inference = inference_seconds(model, variables, images)
    print(f"n d = {kernel.shape[0]:,}, P = {kernel.jacobian.shape[1]:,}, Tr K / (n d) = {mean:.4g}")
    print(f"an inference pass (batches of 64): {inference[0]:.2f} s, CPU {inference[1]:.2f} s")

    history: list[dict[str, float]] = []
    began, began_cpu = time.perf_counter(), time.process_time()
    ridge = 0.0

    def note(_: int, products: int, lower: float, upper: float) -> None:
        seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        history.append(
            {"ridge": ridge, "products": products, "gauss": lower, "radau": upper,
             "seconds": seconds, "cpu": cpu}
        )  # fmt: skip
        gap = (upper - lower) / lower
        print(f"{seconds:7.0f} s  {products:4d}  {lower:.8g} .. {upper:.8g}  {gap:.2e}", flush=True)

    rows_of_table = []
    square = float((targets**2).sum())
    for fraction in sorted(config.ridge_fractions, reverse=True):
        ridge = fraction * mean
        print(f"ridge {fraction:g} x mean diagonal = {ridge:.5g}", flush=True)
        result = certify(
            kernel,
            targets,
            ridge=ridge,
            relative_gap=config.gap,
            max_products=config.max_products,
            checkpoint=config.out / "state.npz",
            on_product=note,
        )
        rows_of_table.append(
            {
                "ridge_fraction": fraction,
                "ridge": ridge,
                "lower": result.lower,
                "upper": result.upper,
                "relative_gap": result.relative_gap,
                "adjusted": result.adjusted(trace=mean * kernel.shape[0], num_examples=config.n),
                # C ridge / ||Y||^2: what a ridge regression leaves of the targets, plus its norm.
                "share_left_over": [result.lower * ridge / square, result.upper * ridge / square],
                "iterations": result.products,
                "stopped": result.stopped,
                "condition": condition_estimate(result.states[0], ridge=ridge),
            }
        )
        print(
            f"{result.lower:.8g} <= C <= {result.upper:.8g} (gap {result.relative_gap:.2e}, "
            f"{result.stopped}) after {result.products} iterations",
            flush=True,
        )
    # Between two looks at one ridge there are steps alone, no certificate; none if all were done.
    pairs = [(a, b) for a, b in itertools.pairwise(history) if a["ridge"] == b["ridge"]]
    steps = sum(b["products"] - a["products"] for a, b in pairs) or math.nan
    wall = sum(b["seconds"] - a["seconds"] for a, b in pairs) / steps
    cpu = sum(b["cpu"] - a["cpu"] for a, b in pairs) / steps
    content = {
        "config": {**asdict(config), "out": str(config.out)},
        "rows": kernel.shape[0],
        "parameters": kernel.jacobian.shape[1],
        "mean_diagonal": mean,
        "mean_diagonal_standard_error": error,
        "squared_targets": square,
        "route": "dual",
        "intervals": rows_of_table,
        "seconds_an_iteration": wall,
        "cpu_seconds_an_iteration": cpu,
        "seconds_an_inference_pass": inference[0],
        "cpu_seconds_an_inference_pass": inference[1],
        "inference_passes_an_iteration": cpu / inference[1],
        "history": history,
        "provenance": provenance(),
    }
    write_whole(config.out / "result.json", json.dumps(content, indent=1) + "\n")
    write_whole(config.out / "table.md", table(content))
    print(f"an iteration: {wall:.1f} s, CPU {cpu:.1f} s, {cpu / inference[1]:.2f} inference passes")


def table(content: dict) -> str:
    """Return what result.json holds as a Markdown table and a line on its cost."""
    lines = [
        "| ridge / mean diagonal | interval of C | adjusted | relative gap | iterations |",
        "|---|---|---|---|---|",
    ]
    for row in content["intervals"]:
        lines.append(
            f"| {row['ridge_fraction']:g} | {row['lower']:.7g} .. {row['upper']:.7g} | "
            f"{row['adjusted'][0]:.5g} .. {row['adjusted'][1]:.5g} | {row['relative_gap']:.1e} | "
            f"{row['iterations']} |"
        )
    cost = (
        f"An iteration: {content['seconds_an_iteration']:.1f} s, CPU "
        f"{content['cpu_seconds_an_iteration']:.1f} s, that is "
        f"{content['inference_passes_an_iteration']:.1f} inference passes of CPU "
        f"{content['cpu_seconds_an_inference_pass']:.2f} s."
    )
    return "\n".join([*lines, "", cost]) + "\n"


def inference_seconds(model: nn.Module, variables: dict, images: np.ndarray) -> tuple[float, float]:
    """Return (seconds, CPU seconds) of an inference pass in batches of 64, after one to warm up."""
    apply = jax.jit(model.apply)
    apply(variables, images[:64]).block_until_ready()
    wall, cpu = time.perf_counter(), time.process_time()
    parts = [apply(variables, images[i : i + 64]) for i in range(0, len(images) - 63, 64)]
    jax.block_until_ready(parts)
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main(tyro.cli(Config))
