"""Measure `kdtheory.complexity.certify` on a dense kernel beside the float64 Cholesky.

    python -m benchmarks.certified --n 4096 --out benchmarks/certified.json

One process, the ways in turn and repeatedly, minima of both clocks. What is compared is one value
of one set of targets, to a relative gap of 1e-6, from a float64 matrix in memory:

- "cholesky": SciPy's cho_factor and cho_solve in float64, nothing checked, nothing certified;
- "factorize": `complexity.factorize(K, ridge).complexity(Y)`: the same with the checks;
- "mixed": `certify(route="mixed")`, float32 Cholesky and float64 bounds, checks included;
- "lanczos": `certify(route="primal")`;
- "nystrom": the same, preconditioned, the preconditioner's cost included.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rich.console
import rich.table
import scipy.linalg
import tyro

from benchmarks.gram import machine
from kdtheory.complexity import certify, factorize, nystrom
from kdtheory.files import write_whole


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    n: int = 4096
    """Rows of the kernel."""
    shapes: tuple[str, ...] = ("power", "geometric", "flat", "clusters")
    """Shapes of spectra; see `spectrum`."""
    conditions: tuple[float, ...] = (1e2, 1e4, 1e6)
    """Condition numbers of K + ridge I."""
    ways: tuple[str, ...] = ("cholesky", "factorize", "mixed", "lanczos", "nystrom")
    """Which ways."""
    gap: float = 1e-6
    """Relative gap."""
    repeats: int = 3
    """Times each way is run; the first of all warms up."""
    max_products: int = 400
    """Of the iterations: what needs more has lost."""
    rank: int = 200
    """Of the Nystrom preconditioner."""
    out: pathlib.Path | None = None
    """JSON file."""


def spectrum(shape: str, condition: float, n: int) -> np.ndarray:
    """Return eigenvalues of K between 0 and 1; the ridge is 1 / condition.

    "power" decays as i^-2, as the spectra of many kernels on data do; "geometric" evenly in the
    logarithm; "flat" is uniform on [0, 1]; "clusters" is one tenth at 1 and the rest at ten ridges.
    """
    if shape == "power":
        return np.arange(1.0, n + 1) ** -2
    if shape == "geometric":
        return np.geomspace(1 / condition, 1, n)
    if shape == "flat":
        return np.linspace(0, 1, n)
    return np.where(np.arange(n) < n // 10, 1.0, min(10 / condition, 1.0))


def kernel(values: np.ndarray, seed: int) -> np.ndarray:
    """Return a dense matrix with these eigenvalues: its basis is a product of reflections."""
    rng = np.random.default_rng(seed)
    n = len(values)
    matrix = np.diag(values)
    for _ in range(4):
        v = rng.normal(size=n)
        v /= np.linalg.norm(v)
        matrix -= 2 * np.outer(v, v @ matrix)
        matrix -= 2 * np.outer(matrix @ v, v)
    return (matrix + matrix.T) / 2


def ways(gram: np.ndarray, y: np.ndarray, ridge: float, config: Config) -> dict[str, Any]:
    """Return the ways by name: each gives (lower, upper, stopped, products)."""
    options: dict[str, Any] = {"ridge": ridge, "relative_gap": config.gap}

    def cholesky() -> tuple[float, float, str, int]:
        matrix = gram.copy()
        matrix[np.diag_indices_from(matrix)] += ridge
        factor = scipy.linalg.cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)
        value = float(y @ scipy.linalg.cho_solve(factor, y, check_finite=False))
        return value, value, "exact", 0

    def exact() -> tuple[float, float, str, int]:
        value = float(factorize(gram, ridge=ridge).complexity(y).complexity)
        return value, value, "exact", 0

    def certified(**more: Any) -> tuple[Any, Any, Any, Any]:
        result = certify(gram, y, max_products=config.max_products, **options, **more)
        return result.lower, result.upper, result.stopped, result.products

    def preconditioned() -> tuple[Any, Any, Any, Any]:
        return certified(
            route="primal", preconditioner=nystrom(gram, ridge=ridge, rank=config.rank)
        )

    return {
        "cholesky": cholesky,
        "factorize": exact,
        "mixed": lambda: certified(route="mixed"),
        "lanczos": lambda: certified(route="primal"),
        "nystrom": preconditioned,
    }


def clocked(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return (result, seconds, CPU seconds)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def measure(config: Config, shape: str, condition: float) -> list[dict[str, Any]]:
    """Return a row for each way."""
    gram = kernel(spectrum(shape, condition, config.n), seed=0)
    y = np.sign(np.random.default_rng(1).normal(size=config.n))
    able = ways(gram, y, 1 / condition, config)
    rows: dict[str, dict[str, Any]] = {}
    for turn in range(config.repeats):
        for name in config.ways:
            (lower, upper, stopped, products), wall, cpu = clocked(able[name])
            row = rows.setdefault(
                name,
                {"shape": shape, "condition": condition, "way": name, "n": config.n,
                 "seconds": np.inf, "cpu_seconds": np.inf, "stopped": stopped,
                 "products": products, "gap": (upper - lower) / lower, "lower": lower,
                 "upper": upper},
            )  # fmt: skip
            if turn or config.repeats == 1:
                row["seconds"] = min(row["seconds"], wall)
                row["cpu_seconds"] = min(row["cpu_seconds"], cpu)
    base = rows.get("cholesky")
    for row in rows.values():
        row["times_cholesky"] = None if base is None else row["seconds"] / base["seconds"]
        row["times_cholesky_cpu"] = (
            None if base is None else row["cpu_seconds"] / base["cpu_seconds"]
        )
    return list(rows.values())


def main(config: Config) -> None:
    """Measure, print the table, write the JSON file."""
    console = rich.console.Console(width=110)
    about = machine()
    console.print(str(about))
    rows: list[dict[str, Any]] = []
    for shape in config.shapes:
        for condition in config.conditions:
            rows += measure(config, shape, condition)
            if config.out is not None:
                content = {"machine": about, "rows": rows}
                write_whole(config.out, json.dumps(content, indent=1, default=float) + "\n")
    table = rich.table.Table()
    for head in ("spectrum", "condition", "way"):
        table.add_column(head)
    for head in ("s", "/ cholesky", "CPU s", "/ cholesky", "gap", "products", "stopped"):
        table.add_column(head, justify="right")
    for row in rows:
        ratios = [
            "" if row[name] is None else f"{row[name]:.2f}"
            for name in ("times_cholesky", "times_cholesky_cpu")
        ]
        table.add_row(
            row["shape"], f"{row['condition']:.0e}", row["way"], f"{row['seconds']:.3f}",
            ratios[0], f"{row['cpu_seconds']:.3f}", ratios[1], f"{row['gap']:.0e}",
            str(row["products"]), row["stopped"],
        )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main(tyro.cli(Config))
