"""The kernel of one network written in linen, NNX and Equinox, in turns, in one process.

    python -m benchmarks.frameworks --model resnet20 --n 1024

T_limit as in `benchmarks.gram`, measured in the same process. The twins have the same layers and
numbers of parameters; to reach: each within 5 % of linen.
"""

import dataclasses
import functools
import pathlib
import statistics
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.framework_models import twins
from benchmarks.gram import machine
from benchmarks.many_outputs import add_rows, seconds
from kdtheory.ntk import gram

_SIDE = 2048


@dataclasses.dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
      model: the network.
      side: of the square images.
      n: examples.
      d: outputs; the kernel is "full".
      repeats: rounds; in each, every framework in turn. The median is reported.
      out: JSON file to add the rows to, or None.
    """

    model: Literal["mlp", "resnet20"] = "resnet20"
    side: int = 32
    n: int = 1024
    d: int = 1
    repeats: int = 3
    out: pathlib.Path | None = None


def main(config: Config) -> None:
    """Measure, print, add to the file."""
    shape = (config.n, config.side, config.side, 3)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    networks = twins(config.model, side=config.side, outputs=config.d)
    counts = {
        name: sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
        for name, (_, variables) in networks.items()
    }
    if len(set(counts.values())) != 1:
        raise SystemExit(f"the twins differ in their parameters: {counts}")
    square, multiply = jnp.ones((_SIDE, _SIDE)), jax.jit(lambda a: a @ a)
    apply_fn, variables = networks["linen"]
    forward, on_device = jax.jit(apply_fn), jax.device_put(x)
    runs: dict[str, Callable[[], Any]] = {
        "product": lambda: multiply(square),
        "forward": lambda: forward(variables, on_device),
        **{
            name: functools.partial(gram, *network, x, method="layerwise")
            for name, network in networks.items()
        },
    }
    for run in runs.values():
        jax.block_until_ready(run())  # compiles
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(config.repeats):
        for name, run in runs.items():
            taken[name].append(seconds(run))
    median = {name: statistics.median(times) for name, times in taken.items()}
    rows = config.n * config.d
    rate = 2 * _SIDE**3 / median["product"]
    limit = (1 + 2 * config.d) * median["forward"] + rows * (rows + 1) * counts["linen"] / rate
    found = [
        {
            **{field: getattr(config, field) for field in ("model", "side", "n", "d")},
            "framework": name,
            "parameters": counts[name],
            "seconds": median[name],
            "over_linen": median[name] / median["linen"],
            "over_limit": median[name] / limit,
            "limit_seconds": limit,
            "machine": machine(),
        }
        for name in networks
    ]
    for row in found:
        print(
            f"{row['model']} n = {row['n']}, d = {row['d']}, {row['framework']}: "
            f"{row['seconds']:.3g} s, {row['over_linen']:.2f} x linen, "
            f"{row['over_limit']:.2f} x T_limit, load {row['machine']['load']:.1f}"
        )
    add_rows(config.out, found)


if __name__ == "__main__":
    main(tyro.cli(Config))
