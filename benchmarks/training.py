"""Measure training and distillation beside a plain Flax loop, PyTorch and 3 x inference.

    python -m benchmarks.training --out training.json                     (CPU, about 7 minutes)
    python -m benchmarks.training --device gpu --out training-gpu.json    (under 4 minutes)

One process; every candidate is compiled and warmed up outside the timing, then all take turns for
`--rounds` rounds; medians. Random 32x32x3 images, 100 classes, random crops and flips.

- kdtheory: programs of several steps (`make_train_chunk`), data and augmentation on the device.
- flax loop: one jitted step a batch, batches made by NumPy.
- pytorch: the usual loop, the same NumPy batches (skipped where torch is missing).
- limit: three times an inference pass over the same images.
- offline, online: distillation by a teacher inside the step.
- seeds: several networks in turn and together (`run_many`).

On a GPU: seconds for an epoch of 50,000 images, whole-epoch programs, float32 and bfloat16.
Only JAX, Flax, optax, NumPy and rich are needed besides this package.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import rich.console
import rich.table

from benchmarks.training_candidates import (
    CLASSES,
    SIDE,
    flax_loop,
    inference,
    on_device,
    ours,
    random_data,
    teachers,
    together,
    torch_loop,
    variables_of,
)
from kdtheory.files import write_whole
from kdtheory.targets import Labels
from kdtheory.training import default_steps_per_dispatch


def machine() -> dict[str, Any]:
    """Return what the numbers were measured on."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    return {
        "cpu": cpu, "cores": os.cpu_count(), "device": jax.devices()[0].device_kind,
        "jax": jax.__version__, "python": platform.python_version(),
        "load_average_at_start": os.getloadavg()[0],
    }  # fmt: skip


class Report:
    """Prints rows as they come and keeps them."""

    def __init__(self, out: Path | None, seconds: float | None) -> None:
        self.console = rich.console.Console(width=110)
        self.rows: list[dict[str, Any]] = []
        self.out = out
        self._ends = None if seconds is None else time.monotonic() + seconds

    def out_of_time(self) -> bool:
        """Return whether nothing more should begin."""
        return self._ends is not None and time.monotonic() > self._ends

    def measure(self, model: str, batch: int, candidates: list[Any], rounds: int) -> None:
        """Warm up all, then time them in turn, and print the medians."""
        ready = []
        for candidate in candidates:
            if isinstance(candidate, str):
                self.console.print(candidate)
                continue
            if self.out_of_time():
                self.console.print(f"left out for lack of time: {model}, {candidate.name}")
                continue
            began = time.monotonic()
            candidate.call()
            candidate.call()  # a donated buffer's second layout, an allocator's first growth
            ready.append((candidate, time.monotonic() - began))
        walls: dict[str, list[float]] = {candidate.name: [] for candidate, _ in ready}
        cpus: dict[str, list[float]] = {candidate.name: [] for candidate, _ in ready}
        for _ in range(rounds):
            for candidate, _ in ready:
                cpu, wall = time.process_time(), time.perf_counter()
                candidate.call()
                walls[candidate.name].append(time.perf_counter() - wall)
                cpus[candidate.name].append(time.process_time() - cpu)
        table = rich.table.Table(
            "model", "batch", "what", "images/s", "ms a batch", "CPU ms", "s an epoch of 50,000"
        )
        for candidate, warm in ready:
            wall, cpu = (statistics.median(t[candidate.name]) for t in (walls, cpus))
            row = {
                "model": model, "batch": batch, "what": candidate.name,
                "images_per_second": candidate.images / wall,
                "ms_a_batch": 1e3 * wall * batch / candidate.images,
                "cpu_ms_a_batch": 1e3 * cpu * batch / candidate.images,
                "epoch_seconds": 50_000 * wall / candidate.images, "warm_up_seconds": warm,
                "walls": walls[candidate.name],
            }  # fmt: skip
            self.rows.append(row)
            table.add_row(
                model, str(batch), candidate.name, f"{row['images_per_second']:,.0f}",
                f"{row['ms_a_batch']:.2f}", f"{row['cpu_ms_a_batch']:.2f}",
                f"{row['epoch_seconds']:.2f}",
            )  # fmt: skip
        self.console.print(table)
        if self.out is not None:
            write_whole(self.out, json.dumps({"machine": machine(), "rows": self.rows}, indent=1))

    def ratio(self, what: str, over: str, model: str) -> None:
        """Print how many times faster one candidate is than another."""
        found = {row["what"]: row for row in self.rows if row["model"] == model}
        if what in found and over in found:
            times = found[over]["ms_a_batch"] / found[what]["ms_a_batch"]
            cpu = found[over]["cpu_ms_a_batch"] / max(found[what]["cpu_ms_a_batch"], 1e-9)
            self.console.print(f"{model}: {what} is {times:.2f} x {over} (CPU time {cpu:.2f} x)")


def measure_cpu(arguments: argparse.Namespace, report: Report) -> None:
    """Measure all parts on a CPU."""
    batch, rounds = arguments.batch_size, arguments.rounds
    images, labels = random_data(2_048 if arguments.quick else 50_000)
    length = 1 if arguments.quick else default_steps_per_dispatch(len(images) // batch)
    data = on_device(images, labels)
    for name in arguments.models:
        fixed, changing = teachers(arguments.teacher, 8, 4)
        report.measure(
            name,
            batch,
            [
                ours("kdtheory", name, data, batch, length, Labels(CLASSES)),
                flax_loop(name, images, labels, batch, length),
                torch_loop(name, images, labels, batch, length),
                inference(name, data, batch, length),
                ours("offline", name, data, batch, length, fixed),
                ours("online", name, data, batch, length, changing),
            ],
            rounds,
        )
        for what, over in (
            ("kdtheory", "flax loop"), ("kdtheory", "pytorch float32"), ("inference", "kdtheory"),
            ("offline", "online"),
        ):  # fmt: skip
            report.ratio(what, over, name)
    for name in arguments.small_models:
        forms = ("in turn", "interleaved", "vmap") if not arguments.quick else ("in turn", "vmap")
        steps = 1 if arguments.quick else default_steps_per_dispatch(len(images) // 64, limit=2)
        candidates = [together(form, name, data, 64, steps, arguments.seeds) for form in forms]
        report.measure(f"{name} (seeds)", 64, candidates, rounds)
        for form in forms[1:]:
            report.ratio(
                f"{arguments.seeds} networks {form}", f"{arguments.seeds} networks in turn",
                f"{name} (seeds)",
            )  # fmt: skip


def matrix_rate() -> float:
    """Return this device's bfloat16 rate on large products, in TFLOP/s."""
    size, repeats = 8_192, 10
    a = jax.random.normal(jax.random.key(0), (size, size), jnp.bfloat16)
    product = jax.jit(lambda a, b: a @ b)
    b = product(a, a)
    b.block_until_ready()
    began = time.perf_counter()
    for _ in range(repeats):
        b = product(a, a)
    b.block_until_ready()
    return 2 * size**3 * repeats / (time.perf_counter() - began) / 1e12


def forward_flops(name: str) -> float:
    """Return the floating-point operations of one image's inference, by XLA's count."""
    model, variables = variables_of(name)
    images = jnp.zeros((8, SIDE, SIDE, 3))
    analysis = jax.jit(model.apply).lower(variables, images).cost_analysis()
    analysis = analysis[0] if isinstance(analysis, list) else analysis
    return float((analysis or {}).get("flops", 0.0)) / 8


def measure_gpu(arguments: argparse.Namespace, report: Report) -> None:
    """Measure whole-epoch programs on an accelerator, the most wanted numbers first."""
    images, labels = random_data(2_048 if arguments.quick else 50_000)
    data = on_device(images, labels)
    labels_only, rounds = Labels(CLASSES), arguments.rounds

    def epoch(batch: int) -> int:
        return len(images) // batch

    def one(label: str, name: str, batch: int, dtype: str, supervision: Any = labels_only) -> None:
        if report.out_of_time():
            report.console.print(f"left out for lack of time: {name}, {label}")
            return
        candidate = ours(label, name, data, batch, epoch(batch), supervision, dtype=dtype)
        report.measure(name, batch, [candidate], rounds)

    rate = matrix_rate()
    report.console.print(f"bfloat16 products: {rate:.0f} TFLOP/s")
    one("kdtheory bfloat16", "resnet20", 128, "bfloat16")
    flops = 3 * forward_flops("resnet20")
    if report.rows and flops:
        done = flops * report.rows[-1]["images_per_second"] / 1e12
        report.console.print(
            f"resnet20, batch 128: {done:.2f} TFLOP/s useful, {100 * done / rate:.2f} % of products"
        )
    seeds = arguments.seeds
    for form in ("packed", "vmap"):
        if not report.out_of_time():
            many = together(form, "resnet20", data, 128, epoch(128), seeds, dtype="bfloat16")
            report.measure("resnet20 (seeds)", 128, [many], rounds)
    one("kdtheory bfloat16", "resnet56", 128, "bfloat16")
    fixed, changing = teachers("resnet56", 8, epoch(128), "bfloat16")
    one("offline bfloat16", "resnet20", 128, "bfloat16", fixed)
    one("online bfloat16", "resnet20", 128, "bfloat16", changing)
    report.ratio("offline bfloat16", "online bfloat16", "resnet20")
    if not report.out_of_time():
        many = together(
            "packed", "resnet20", data, 128, epoch(128), seeds, dtype="bfloat16",
            supervision=changing,
        )  # fmt: skip
        report.measure("resnet20 (online seeds)", 128, [many], rounds)
    one("kdtheory bfloat16, batch 512", "resnet20", 512, "bfloat16")
    one("kdtheory bfloat16, batch 1024", "resnet20", 1024, "bfloat16")
    one("kdtheory float32", "resnet20", 128, "float32")
    steps = 100
    report.measure(
        "resnet20 (plain loops)", 128,
        [flax_loop("resnet20", images, labels, 128, steps),
         torch_loop("resnet20", images, labels, 128, steps, half=True)],
        rounds,
    )  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", choices=["cpu", "gpu"], default=None, help="default: JAX's own choice")
    add("--models", nargs="*", default=["resnet20", "lenet5x8", "mobilenet_v3_small"])
    add("--small-models", nargs="*", default=["mlp128x2", "lenet5x1", "resnet8"])
    add("--teacher", default="resnet20", help="of the offline and online rows (CPU)")
    add("--batch-size", type=int, default=128)
    add("--seeds", type=int, default=None, help="networks together (default: 4; GPU: 3)")
    add("--rounds", type=int, default=None, help="default: 7; GPU: 3")
    add("--seconds", type=float, default=None, help="begin nothing later (default: GPU 200)")
    add("--quick", action="store_true", help="in miniature: to see that it works")
    add("--out", type=Path, help="JSON file of all numbers")
    arguments = parser.parse_args()
    if arguments.device is not None:
        jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda"}[arguments.device])
    gpu = jax.default_backend() != "cpu"
    arguments.seeds = arguments.seeds or (3 if gpu else 4)
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3 if gpu else 7)
    report = Report(arguments.out, arguments.seconds or (200.0 if gpu else None))
    report.console.print(machine())
    (measure_gpu if gpu else measure_cpu)(arguments, report)


if __name__ == "__main__":
    main()
