"""Kernels of many outputs beside the machine's own limit, in turns.

    python -m benchmarks.many_outputs --model lenet5x8 --side 16 --n 64 --memory-budget 1GiB

T_limit = (1 + 2 d) T_fwd(n) + products / G: a forward pass, two of its cost back for each output,
and the symmetric half of the products at the rate G of a large one: n (n + 1) d P operations
for "trace" and "diagonal", n d (n d + 1) P for "full". T_fwd and G are measured before and after
each kernel, in the same process: the ratio means something on a machine that others use too.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.gram import PeakMemory, machine
from kdtheory import models, ntk

_SIDE = 2048


@dataclasses.dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
      model: a name known to kdtheory.models.
      side: of the square images.
      n: examples.
      d: outputs.
      outputs: as for `kdtheory.ntk.gram`.
      memory_budget: as for `kdtheory.ntk.gram`.
      repeats: kernels after the first, which is compiled.
      out: JSON file to add the row to, or None.
    """

    model: str = "lenet5x8"
    side: int = 16
    n: int = 64
    d: int = 100
    outputs: Literal["trace", "diagonal", "full"] = "trace"
    memory_budget: str | None = None
    repeats: int = 1
    out: pathlib.Path | None = None


def seconds(run: Callable[[], Any]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - began


def measure(config: Config) -> dict[str, Any]:
    """Return the row: medians over the repeats."""
    model = models.create(config.model, config.d)
    shape = (config.n, config.side, config.side, 3)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    variables = models.init(model, jax.random.key(0), shape[1:])
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    square, multiply = jnp.ones((_SIDE, _SIDE)), jax.jit(lambda a: a @ a)
    on_device, forward = jax.device_put(x), jax.jit(model.apply)

    def kernel() -> np.ndarray:
        return ntk.gram(
            model.apply, variables, x, outputs=config.outputs, memory_budget=config.memory_budget
        )

    def rates() -> tuple[list[float], list[float]]:
        products = [seconds(lambda: multiply(square)) for _ in range(3)]
        return products, [seconds(lambda: forward(variables, on_device)) for _ in range(3)]

    rates()  # compiles
    began = time.perf_counter()
    with PeakMemory() as memory:
        kernel()
    first = time.perf_counter() - began
    rows = config.n * config.d if config.outputs == "full" else config.n
    each = parameters if config.outputs == "full" else config.d * parameters
    taken, limits = [], []
    for _ in range(config.repeats):
        before = rates()
        taken.append(seconds(kernel))
        products, passes = (a + b for a, b in zip(before, rates(), strict=True))
        rate = 2 * _SIDE**3 / float(np.median(products))
        forward_seconds = float(np.median(passes))
        limits.append((1 + 2 * config.d) * forward_seconds + rows * (rows + 1) * each / rate)
    ratios = [a / b for a, b in zip(taken, limits, strict=True)]
    return {
        **{name: getattr(config, name) for name in ("model", "side", "n", "d", "outputs")},
        "memory_budget": config.memory_budget,
        "parameters": parameters,
        "seconds": float(np.median(taken)),
        "first_seconds": first,
        "limit_seconds": float(np.median(limits)),
        "over_limit": float(np.median(ratios)),
        "gemm_flops": rate,
        "peak_bytes": memory.growth,
        "machine": machine(),
    }


def main(config: Config) -> None:
    """Measure, print the row, add it to the file."""
    row = measure(config)
    print(
        f"{row['model']} {row['outputs']} n = {row['n']}, d = {row['d']}: {row['seconds']:.3g} s, "
        f"{row['over_limit']:.2f} x T_limit ({row['limit_seconds']:.3g} s), peak "
        f"{row['peak_bytes'] / 2**30:.2f} GiB, load {row['machine']['load']:.1f}"
    )
    add_rows(config.out, [row])


def add_rows(path: pathlib.Path | None, rows: list[dict[str, Any]]) -> None:
    """Add rows to a JSON file, which is made if it is missing; None is no file."""
    if path is not None:
        before = json.loads(path.read_text()) if path.exists() else []
        path.write_text(json.dumps([*before, *rows], indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config))
