"""Measure `kdtheory.ntk.gram` beside neural-tangents, PyTorch and the machine's own limit.

    python -m benchmarks.gram --models resnet20 --n 1024 --d 1 --out benchmarks/gram.json

One process, warm-up (compilation) outside the timing, medians. The limit of a machine is
T_limit = (1 + 2 d) T_fwd(n) + n d (n d + 1) P / G: one forward pass, one backward pass of twice
its cost for each output, and the symmetric half of J J^T at the measured rate G of a large matrix
product. "Useful FLOP/s" counts the same work. Errors are against float64 neural-tangents on the
first `error_n` examples. On a GPU or TPU `--precision` says how float32 is multiplied, by all
methods of JAX, in T_fwd and in G.
"""

import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
import tyro

from benchmarks import torch_kernels
from kdtheory import models
from kdtheory.files import write_whole
from kdtheory.ntk import gram, neural_tangents


class DepthwiseNet(nn.Module):
    """A MobileNet-like stack of depthwise separable convolutions."""

    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(16, (3, 3), strides=2)(x))
        for width, stride in ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
            x = nn.Conv(x.shape[-1], (3, 3), stride, feature_group_count=x.shape[-1])(x)
            x = nn.relu(nn.BatchNorm(use_running_average=True)(x))
            x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Conv(width, (1, 1))(x)))
        return nn.Dense(self.outputs)(x.mean((1, 2)))


@dataclasses.dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
      models: names known to kdtheory.models, or "depthwise".
      n: numbers of examples (32x32x3).
      d: numbers of outputs; the kernel is "full".
      methods: "layerwise", "neural_tangents" (untiled), "nt_batch" (nt.batch, batch_size 64),
        "torch" (torch.func's Jacobian contraction), "nngeometry" (its GramMatrix, batches of 64),
        where they and a counterpart of the model are there.
      precision: of products on accelerators, as in `kdtheory.ntk.gram`; one of a process.
      repeats: timed runs after the warm-up; the median is reported.
      error_n: examples that errors are computed on; 0 for none.
      max_jacobian: leave out untiled methods whose Jacobian is larger than this many bytes.
      max_seconds: leave out a method's repeats when its first timed run took longer.
      out: JSON file to write, or None.
    """

    models: tuple[str, ...] = ("resnet20", "lenet5x8", "mlp", "depthwise")
    n: tuple[int, ...] = (128, 1024, 4096)
    d: tuple[int, ...] = (1, 10)
    methods: tuple[str, ...] = ("layerwise", "neural_tangents", "nt_batch", "torch", "nngeometry")
    precision: Literal["highest", "tensorfloat32", "bfloat16"] = "highest"
    repeats: int = 3
    error_n: int = 32
    max_jacobian: int = 4 * 2**30
    max_seconds: float = 60.0
    out: pathlib.Path | None = None


def machine() -> dict[str, Any]:
    """Return what a reader needs to know of the machine."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [li for li in cpuinfo.read_text().splitlines() if li.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "device": str(jax.devices()[0].device_kind),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "time": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    }


def median_seconds(
    run: Callable[[], Any],
    repeats: int,
    longest: float = np.inf,
    warm_up: Callable[[], Any] | None = None,
) -> float:
    """Return the median time of `run`, after a warm-up (`run` itself unless given) outside it."""
    jax.block_until_ready((warm_up or run)())
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
        if times[0] > longest:
            break
    return statistics.median(times)


class PeakMemory:
    """The growth of this process's resident memory while a block runs, sampled, in bytes."""

    def __enter__(self) -> "PeakMemory":
        self._before = self.peak = _resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.peak = max(self.peak, _resident())

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.growth = self.peak - self._before


def _resident() -> int:
    pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def gemm_rate(size: int = 4096) -> float:
    """Return the FLOP/s of a large float32 matrix product in this process."""
    a = jnp.ones((size, size))
    product = jax.jit(lambda a: a @ a)
    return 2 * size**3 / median_seconds(lambda: product(a), 5)


def forward(model: nn.Module, variables: Any, x: np.ndarray, repeats: int) -> tuple[float, float]:
    """Return (seconds, FLOPs) of an inference pass over x, in the best of three batch sizes."""
    compiled = jax.jit(model.apply).lower(variables, x[:32]).compile()
    cost: Any = compiled.cost_analysis()
    flops = cost["flops"] * len(x) / 32
    apply, seconds = jax.jit(model.apply), []
    for size in (32, 64, 128):
        parts = [jax.device_put(x[i : i + size]) for i in range(0, len(x), size)]
        run = functools.partial(_each, functools.partial(apply, variables), parts)
        seconds.append(median_seconds(run, repeats))
    return min(seconds), flops


def _each(function: Callable[[Any], Any], parts: list[Any]) -> list[Any]:
    return [function(part) for part in parts]


def nt_batch(model: nn.Module, variables: Any) -> Callable[[Any], Any]:
    """Return neural-tangents' own tiling, as its documentation has it, as a function of x."""
    nt = neural_tangents.load()
    rest = {name: value for name, value in variables.items() if name != "params"}
    kernel_fn = nt.batch(
        nt.empirical_ntk_fn(
            lambda params, x: model.apply({"params": params, **rest}, x),
            trace_axes=(),
            vmap_axes=0,
            implementation=neural_tangents.implementation("jacobian_contraction"),
        ),
        batch_size=64,
        device_count=0,
    )
    return lambda x: kernel_fn(x, None, variables["params"])


def measure(config: Config, name: str, n: int, d: int, rate: float) -> list[dict[str, Any]]:
    """Return one row for each method that can run."""
    model = DepthwiseNet(d) if name == "depthwise" else models.create(name, d)
    x = np.random.default_rng(0).normal(size=(n, 32, 32, 3)).astype(np.float32)
    variables = model.init(jax.random.key(0), x[:1])
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    forward_seconds, forward_flops = forward(model, variables, x, config.repeats)
    product_flops = float(n * d) * (n * d + 1) * parameters
    limit = (1 + 2 * d) * forward_seconds + product_flops / rate
    useful = (1 + 2 * d) * forward_flops + product_flops
    jacobian_bytes = 4 * n * d * parameters

    runs: dict[str, Callable[[], Any]] = {
        "layerwise": lambda: gram(
            model.apply, variables, x, method="layerwise", precision=config.precision
        )
    }
    if jacobian_bytes <= config.max_jacobian:
        runs["neural_tangents"] = lambda: gram(
            model.apply,
            variables,
            x,
            method="neural_tangents",
            batch_size=n,
            precision=config.precision,
        )
    warm_ups: dict[str, Callable[[], Any]] = {}
    if n % 64 == 0 and "nt_batch" in config.methods:
        batched = nt_batch(model, variables)
        runs["nt_batch"] = lambda: batched(x)
        # Its tiles have one size, so two of them compile all that it needs.
        warm_ups["nt_batch"] = lambda: batched(x[:128])
    if jacobian_bytes <= config.max_jacobian:
        for method, (package, kernel_of) in torch_kernels.KERNELS.items():
            if method in config.methods and importlib.util.find_spec(package):
                kernel = kernel_of(name, d, x)
                if kernel is not None:
                    runs[method] = kernel

    rows = []
    for method in config.methods:
        if method not in runs:
            continue
        with PeakMemory() as memory:
            seconds = median_seconds(
                runs[method], config.repeats, config.max_seconds, warm_ups.get(method)
            )
        rows.append(
            {
                "model": name,
                "n": n,
                "d": d,
                "parameters": parameters,
                "method": method,
                "precision": config.precision,
                "seconds": seconds,
                "limit_seconds": limit,
                "forward_seconds": forward_seconds,
                "over_limit": seconds / limit,
                "gemm_fraction": useful / seconds / rate,
                "peak_bytes": memory.growth,
                "error": error(config, method, model, variables, x),
            }
        )
    ours = next((row["seconds"] for row in rows if row["method"] == "layerwise"), None)
    for row in rows:
        row["times_layerwise"] = None if ours is None else row["seconds"] / ours
    return rows


def error(
    config: Config, method: str, model: nn.Module, variables: Any, x: np.ndarray
) -> float | None:
    """Return the worst error of gram's method over the largest entry of the exact kernel."""
    if config.error_n == 0 or method not in ("layerwise", "neural_tangents"):
        return None
    x = x[: config.error_n]
    exact = gram(model.apply, variables, x, method="neural_tangents", dtype="float64")
    kernel = gram(model.apply, variables, x, method=method, precision=config.precision)
    return float(np.abs(kernel - exact).max() / np.abs(exact).max())


def show(rows: list[dict[str, Any]], console: rich.console.Console) -> None:
    """Print the rows as a table."""
    table = rich.table.Table()
    for head in ("model", "n", "d", "method"):
        table.add_column(head)
    for head in ("s", "/ T_limit", "of GEMM", "/ layerwise", "peak GiB", "error"):
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(
            row["model"],
            str(row["n"]),
            str(row["d"]),
            row["method"],
            f"{row['seconds']:.3f}",
            f"{row['over_limit']:.2f}",
            f"{row['gemm_fraction']:.0%}",
            "" if row["times_layerwise"] is None else f"{row['times_layerwise']:.2f}",
            f"{row['peak_bytes'] / 2**30:.2f}",
            "" if row["error"] is None else f"{row['error']:.1e}",
        )
    console.print(table)


def main(config: Config) -> None:
    """Measure, print the table, write the JSON file."""
    with jax.default_matmul_precision(config.precision):
        _measure_all(config)


def _measure_all(config: Config) -> None:
    console = rich.console.Console(width=110)
    about, rate = machine(), gemm_rate()
    console.print(
        f"{about}\nG = {rate / 1e9:.0f} GFLOP/s (4096 x 4096 x 4096, float32 multiplied in "
        f"precision {config.precision!r})"
    )
    rows: list[dict[str, Any]] = []
    for name in config.models:
        for d in config.d:
            for n in config.n:
                rows += measure(config, name, n, d, rate)
                # After each: a long run that is stopped keeps what it has measured.
                if config.out is not None:
                    content = {"machine": about, "gemm_flops": rate, "rows": rows}
                    write_whole(config.out, json.dumps(content, indent=1) + "\n")
    show(rows, console)


if __name__ == "__main__":
    main(tyro.cli(Config))
