"""The exact binary NTK of all of CIFAR-100's training images, ResNet-20, factorised: K is 50,000^2.

    KDTHEORY_DATA_DIR=... python experiments/whole_kernel.py                    (one 80 GB GPU)
    KDTHEORY_DATA_DIR=... python experiments/whole_kernel.py --n 4096 --gemm-size 4096   (two cores)

Computes K in float32 (10 GB; --precision tensorfloat32 or bfloat16 on GPUs, whose errors are then
measured), compares sampled entries with neural-tangents in float64, and factorises K + ridge I:
--factor mixed brackets the complexity of the labels by a float32 factorisation with float64
residuals, --factor float64 factorises in float64 (20 GB more); both on the host's processors.
The network is at initialisation. With --store DIR a killed call goes on with the next.

To reach on one H200: all of it in under 5 minutes. Not run on a GPU yet.
Seen on two cores of an AMD EPYC, n = 4,096 (experiments/results/whole_kernel/table.md), one minute:
K in 31 s, 36 % of them n (n + 1) P / G; errors 3.6e-7; factorisation and interval in 0.7 s.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.progress
import tyro

from kdtheory import models
from kdtheory.complexity import certify, factorize, ridge_from_trace
from kdtheory.datasets import encode_labels, load, normalize
from kdtheory.files import write_whole
from kdtheory.ntk import gram
from kdtheory.runs.provenance import provenance

Result = TypeVar("Result")


@dataclass(frozen=True)
class Config:
    """Which kernel, and how far it is checked."""

    n: int = 50_000
    """Training images."""
    dataset: str = "cifar100"
    """Any data set by name."""
    task: str = "first_half"
    """A binary task."""
    model: str = "resnet20"
    """Taken at its initialisation."""
    seed: int = 0
    """Of the initialisation, of the order of the images and of the sample of entries."""
    precision: Literal["highest", "tensorfloat32", "bfloat16"] = "highest"
    """How accelerators multiply float32; CPUs always as "highest"."""
    memory_budget: str | None = None
    """Memory for the features, such as 100GiB (default: half of what is free)."""
    store: Path | None = None
    """Folder of finished tiles, to go on from when killed."""
    ridge_fraction: float = 1e-3
    """Ridge, in units of the mean of K's diagonal."""
    factor: Literal["mixed", "float64", "none"] = "mixed"
    """How K + ridge I is factorised."""
    sample: int = 64
    """Images whose entries are compared with neural-tangents in float64."""
    gemm_size: int = 8192
    """Side of the matrices whose product measures the machine's rate G."""
    repeats: int = 3
    """Products of them; their median counts."""
    out: Path = Path("runs/whole_kernel")
    """Folder of result.json and table.md."""


def seconds_of(work: Callable[[], Result]) -> tuple[float, Result]:
    """Return how long a call takes, and what it returns."""
    began = time.perf_counter()
    result = jax.block_until_ready(work())
    return time.perf_counter() - began, result


def gemm_rate(size: int, precision: str, repeats: int) -> float:
    """Return FLOP/s of a float32 product of square matrices."""
    a = jax.random.normal(jax.random.key(0), (size, size), jnp.float32)
    product = jax.jit(lambda a: jnp.matmul(a, a, precision=precision))
    product(a).block_until_ready()
    times = [seconds_of(lambda: product(a))[0] for _ in range(repeats)]
    return 2 * size**3 / float(np.median(times))


def main(config: Config) -> dict[str, Any]:
    """Compute, check and factorise; write result.json and table.md."""
    config.out.mkdir(parents=True, exist_ok=True)
    data = load(
        config.dataset, task=config.task, train_size=config.n, validation_size=0, test_size=1,
        seed=config.seed,
    )  # fmt: skip
    images = np.asarray(normalize(data.train.images, data.mean, data.std))
    labels = np.asarray(encode_labels(data.train.labels, data.num_outputs), np.float64)
    model = models.create(config.model, data.num_outputs)
    variables = models.init(model, jax.random.key(config.seed), data.image_shape)
    parameters = models.num_params(variables)
    n, console = len(images), rich.console.Console(stderr=True)
    rate = gemm_rate(config.gemm_size, config.precision, config.repeats)
    content: dict[str, Any] = {
        "config": {**asdict(config), "out": str(config.out)},
        "n": n, "parameters": parameters, "gemm_flops": rate,
    }  # fmt: skip

    with rich.progress.Progress(console=console) as bars:
        bar = bars.add_task("tiles", total=None)
        seconds, kernel = seconds_of(
            lambda: gram(
                model.apply, variables, images, dtype="float32", precision=config.precision,
                memory_budget=config.memory_budget, store=config.store,
                on_tile=lambda done, total: bars.update(bar, completed=done, total=total),
            )
        )  # fmt: skip
    useful = n * (n + 1) * parameters
    content |= {"gram_seconds": seconds, "share_of_gemm": useful / rate / seconds}

    some = np.sort(np.random.default_rng(config.seed).choice(n, min(config.sample, n), False))
    reference = gram(
        model.apply, variables, images[some], dtype="float64", method="neural_tangents"
    )
    difference = np.abs(kernel[np.ix_(some, some)] - reference).max()
    content |= {
        "entries_compared": len(some) ** 2,
        "relative_error": float(difference / np.abs(reference).max()),
    }

    ridge = ridge_from_trace(kernel, config.ridge_fraction)
    content["ridge"] = ridge
    if config.factor == "float64":
        seconds, factor = seconds_of(lambda: factorize(kernel, ridge=ridge))
        value = factor.complexity(labels)
        content |= {
            "lower": value.complexity, "upper": value.complexity, "adjusted": value.adjusted,
            "condition": value.condition, "residual": value.residual, "factor_seconds": seconds,
        }  # fmt: skip
    elif config.factor == "mixed":
        seconds, interval = seconds_of(
            lambda: certify(kernel, labels, ridge=ridge, relative_gap=1e-6, route="mixed")
        )
        content |= {
            "lower": interval.lower, "upper": interval.upper, "products": interval.products,
            "factor_seconds": seconds,
        }  # fmt: skip
    content["provenance"] = provenance()
    write_whole(config.out / "result.json", json.dumps(content, indent=1, default=str) + "\n")
    write_whole(config.out / "table.md", table(content))
    rich.console.Console().print(table(content), highlight=False)
    return content


def table(content: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    config = content["config"]
    lines = [
        f"| {config['model']}, n = {content['n']:,}, P = {content['parameters']:,} | |",
        "|---|---|",
        f"| K, float32 ({config['precision']}) | {content['gram_seconds']:.1f} s |",
        f"| G, a large product | {content['gemm_flops'] / 1e12:.3g} TFLOP/s |",
        f"| n (n + 1) P / G over the time of K | {content['share_of_gemm']:.0%} |",
        f"| largest error of {content['entries_compared']:,} entries against float64 "
        f"neural-tangents | {content['relative_error']:.1e} |",
    ]
    if "factor_seconds" in content:
        lines += [
            f"| factorisation, {config['factor']}, and the labels' complexity | "
            f"{content['factor_seconds']:.1f} s |",
            f"| C at ridge {content['ridge']:.4g} | {content['lower']:.9g} .. "
            f"{content['upper']:.9g} |",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(tyro.cli(Config))
