"""Measure how fast `kdtheory.datasets.stream` delivers batches, without any training.

    python -m benchmarks.streaming --dataset cifar100 --data-dir ../shared/tfds

Side by side: NumPy indexing of the set in memory (what a stream cannot beat), a stream of the set
in memory, and streams that decode the stored files, by number of threads. Wall-clock time is the
median of the repetitions; CPU time is that of the whole process, threads included.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import rich.console
import rich.table
import tyro

from kdtheory.datasets import Split, StreamedSplit, load, load_streamed, stream


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to measure."""

    dataset: str = "cifar100"
    """Name of a data set."""
    data_dir: str | None = None
    """Folder of the prepared TFDS sets."""
    image_size: tuple[int, int] | None = None
    """Height and width to resize to."""
    train_size: int | None = 10_000
    """Training examples."""
    batch_size: int = 128
    """Examples a batch."""
    steps: int = 60
    """Batches a repetition."""
    threads: tuple[int, ...] = (0, 1, 2, 4)
    """Numbers of Grain's threads."""
    repetitions: int = 3
    """Repetitions; the median counts."""


def measure(consume: Callable[[], None], config: Config) -> tuple[float, float]:
    """Return (images a second, CPU microseconds an image) of a function that reads all batches."""
    consume()
    images = config.steps * config.batch_size
    walls, cpus = [], []
    for _ in range(config.repetitions):
        wall, cpu = time.perf_counter(), time.process_time()
        consume()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return images / statistics.median(walls), 1e6 * statistics.median(cpus) / images


def main(config: Config) -> None:
    """Print the table."""
    settings: dict[str, Any] = {
        "data_dir": config.data_dir, "image_size": config.image_size, "validation_size": 0,
        "train_size": config.train_size,
    }  # fmt: skip
    whole = load(config.dataset, **settings)
    lazily = load_streamed(config.dataset, **settings)
    rng = np.random.default_rng(0)

    def indexing() -> None:
        for _ in range(config.steps):
            rows = rng.permutation(len(whole.train))[: config.batch_size]
            whole.train.images[rows], whole.train.labels[rows]

    def streaming(split: Split | StreamedSplit, threads: int) -> Callable[[], None]:
        def consume() -> None:
            for _ in stream(
                split, batch_size=config.batch_size, seed=0, stop_step=config.steps,
                threads=threads,
            ):  # fmt: skip
                pass

        return consume

    table = rich.table.Table("batches from", "images / s", "CPU us / image")
    rows: list[tuple[str, Callable[[], None]]] = [
        ("NumPy indexing, in memory", indexing),
        ("stream of the set in memory, threads 1", streaming(whole.train, 1)),
    ]
    rows += [
        (f"stream of stored files, threads {n}", streaming(lazily.train, n)) for n in config.threads
    ]
    for name, consume in rows:
        rate, cpu = measure(consume, config)
        table.add_row(name, f"{rate:,.0f}", f"{cpu:.1f}")
    rich.console.Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Config))
