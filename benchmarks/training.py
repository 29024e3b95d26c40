"""Measure training and distillation beside a plain Flax loop, PyTorch and 3 x inference.

    python -m benchmarks.training --out benchmarks/training.json          (CPU, about 20 minutes)
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
import contextlib
import functools
import importlib.util
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import rich.console
import rich.table

from benchmarks import torch_models
from kdtheory import models
from kdtheory.datasets import AugmentConfig
from kdtheory.distillation import Labels, offline, online, stack
from kdtheory.training import (
    OptimizerConfig,
    TrainingData,
    TrainState,
    in_precision,
    init_state,
    make_optimizer,
    make_train_chunk,
    stack_supervisions,
)
from kdtheory.training.epoch_orders import EpochOrders
from kdtheory.training.side_by_side import side_by_side
from kdtheory.training.stacking import stack_states

CLASSES, SIDE, PADDING = 100, 32, 4
AUGMENTATION = AugmentConfig(crop_padding=PADDING)


class Candidate(NamedTuple):
    """Something to time."""

    name: str
    images: int
    """Images that one call trains on (of all networks together)."""
    call: Callable[[], None]
    """Does the work and waits for its end."""


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


def random_data(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images (count, 32, 32, 3) and int32 labels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    return images, rng.integers(0, CLASSES, count).astype(np.int32)


def on_device(images: np.ndarray, labels: np.ndarray) -> TrainingData:
    """Return the data as training programs take them."""
    half = jnp.full(3, 0.5, jnp.float32)
    return TrainingData(jnp.asarray(images), jnp.asarray(labels), half, half / 2)


@functools.cache
def variables_of(name: str, seed: int = 0) -> tuple[Any, Any]:
    """Return a model and variables for it."""
    model = models.create(name, CLASSES)
    return model, models.init(model, jax.random.key(seed), (SIDE, SIDE, 3))


def optimizer() -> optax.GradientTransformation:
    """Return SGD with momentum and weight decay."""
    return make_optimizer(OptimizerConfig(learning_rate=0.01), 100_000)


def start(name: str, count: int = 1) -> list[TrainState]:
    """Return initial states that share nothing, since programs are donated them."""
    model, variables = variables_of(name)
    del model
    return [
        init_state(jax.tree.map(jnp.copy, variables), optimizer()) for _ in range(count)
    ]  # fmt: skip


def chunk_of(name: str, batch: int, length: int, dtype: str = "float32") -> Any:
    """Return the compiled program of `length` steps."""
    return make_train_chunk(
        variables_of(name)[0], optimizer(), batch_size=batch, augmentation=AUGMENTATION,
        length=length, compute_dtype=dtype,
    )  # fmt: skip


def ours(
    label: str, name: str, data: TrainingData, batch: int, length: int, supervision: Any,
    *, calls: int = 1, dtype: str = "float32",
) -> Candidate:  # fmt: skip
    """Return kdtheory's own loop: `calls` programs of `length` steps."""
    chunk = chunk_of(name, batch, length, dtype)
    held, step = start(name), itertools.count(step=length)
    aligned = getattr(supervision, "aligned", None)
    supervision = supervision if aligned is None else aligned(length)
    key = jax.random.key(1)
    orders = EpochOrders(chunk, key, len(data.images))

    def call() -> None:
        for _ in range(calls):
            order = orders.at(next(step))
            held[0], losses = chunk.advance(held[0], supervision, data, key, order)
            np.asarray(losses)

    return Candidate(label, batch * length * calls, call)


def together(
    form: str, name: str, data: TrainingData, batch: int, length: int, count: int,
    *, dtype: str = "float32", supervision: Any = None,
) -> Candidate:  # fmt: skip
    """Return `count` networks in turn, or together in one of `run_many`'s forms."""
    chunk = chunk_of(name, batch, length, dtype)
    supervision = supervision or Labels(CLASSES)
    aligned = getattr(supervision, "aligned", None)
    supervision = supervision if aligned is None else aligned(length)
    keys = jnp.stack([jax.random.key(seed) for seed in range(count)])
    label = f"{count} networks {form}"
    step = itertools.count(step=length)
    if form in ("in turn", "interleaved"):
        states, threads = start(name, count), contextlib.ExitStack()
        call_each = threads.enter_context(side_by_side(count if form == "interleaved" else 1))
        each = [EpochOrders(chunk, key, len(data.images)) for key in keys]

        def advance(network: int, now: int) -> np.ndarray:
            states[network], losses = chunk.advance(
                states[network], supervision, data, keys[network], each[network].at(now)
            )
            return np.asarray(losses)

        def call() -> None:
            call_each(advance, range(count), [next(step)] * count)

        return Candidate(label, batch * length * count, call)
    held = [stack_states(start(name, count))]
    stacked = stack_supervisions([supervision] * count)
    orders = EpochOrders(chunk, keys, len(data.images))

    def call_all() -> None:
        held[0], losses = chunk.advance_many(
            held[0], stacked, data, keys, form == "packed", orders.at(next(step))
        )
        np.asarray(losses)

    return Candidate(label, batch * length * count, call_all)


def numpy_batches(images: np.ndarray, labels: np.ndarray, batch: int, count: int) -> Any:
    """Yield `count` augmented float32 batches, as a plain data loader makes them."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        rows = rng.integers(0, len(images), batch)
        border = (PADDING, PADDING)
        padded = np.pad(images[rows], ((0, 0), border, border, (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (SIDE, SIDE), axis=(1, 2))
        corners = rng.integers(0, 2 * PADDING + 1, (2, batch))
        crops = np.moveaxis(windows[np.arange(batch), corners[0], corners[1]], 1, -1)
        flips = rng.random(batch) < 0.5
        crops[flips] = crops[flips, :, ::-1]
        yield (crops.astype(np.float32) / 255 - 0.5) / 0.25, labels[rows]


def flax_loop(
    name: str, images: np.ndarray, labels: np.ndarray, batch: int, steps: int
) -> Candidate:
    """Return a loop as Flax's examples have it: one jitted step a batch."""
    model = variables_of(name)[0]
    transformation = optimizer()

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: TrainState, x: jax.Array, y: jax.Array, key: jax.Array) -> Any:
        def objective(params: Any) -> Any:
            logits, updated = model.apply(
                {"params": params, **state.model_state}, x, train=True,
                mutable=list(state.model_state), rngs={"dropout": key},
            )  # fmt: skip
            losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, y)
            return losses.mean(), dict(updated)

        (loss, model_state), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        updates, opt_state = transformation.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, model_state, opt_state), loss

    held = start(name)
    key = jax.random.key(0)

    def call() -> None:
        loss = None
        for x, y in numpy_batches(images, labels, batch, steps):
            held[0], loss = step(held[0], x, y, key)
        np.asarray(loss)

    return Candidate("flax loop", batch * steps, call)


def torch_loop(
    name: str, images: np.ndarray, labels: np.ndarray, batch: int, steps: int, half: bool = False
) -> Candidate | str:
    """Return a plain PyTorch loop, or why there is none."""
    if importlib.util.find_spec("torch") is None:
        return "pytorch skipped: torch is not installed (pip install torch)"
    import torch

    module = torch_models.build(name, CLASSES)
    if module is None:
        return f"pytorch skipped: no counterpart of {name} (torchvision may be missing)"
    gpu = jax.default_backend() != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    module = module.to(device, memory_format=torch.channels_last).train()
    sgd = torch.optim.SGD(
        module.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    loss_of = torch.nn.CrossEntropyLoss()

    def call() -> None:
        loss = None
        for x, y in numpy_batches(images, labels, batch, steps):
            inputs = torch.from_numpy(x).permute(0, 3, 1, 2).to(device)
            targets = torch.from_numpy(y).long().to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss = loss_of(module(inputs), targets)
            sgd.zero_grad(set_to_none=True)
            loss.backward()
            sgd.step()
        assert loss is not None
        loss.detach().item()

    return Candidate(f"pytorch {'bfloat16' if half else 'float32'}", batch * steps, call)


def inference(name: str, data: TrainingData, batch: int, length: int) -> Candidate:
    """Return inference over the images of `length` batches: a third of the limit."""
    model, variables = variables_of(name)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(batch, SIDE, SIDE, 3)), jnp.float32)
    apply = jax.jit(lambda variables, x: model.apply(variables, x).sum())

    def call() -> None:
        for result in [apply(variables, images) for _ in range(length)]:
            np.asarray(result)

    del data
    return Candidate("inference", batch * length, call)


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
            self.out.write_text(json.dumps({"machine": machine(), "rows": self.rows}, indent=1))

    def ratio(self, what: str, over: str, model: str) -> None:
        """Print how many times faster one candidate is than another."""
        found = {row["what"]: row for row in self.rows if row["model"] == model}
        if what in found and over in found:
            times = found[over]["ms_a_batch"] / found[what]["ms_a_batch"]
            cpu = found[over]["cpu_ms_a_batch"] / max(found[what]["cpu_ms_a_batch"], 1e-9)
            self.console.print(f"{model}: {what} is {times:.2f} x {over} (CPU time {cpu:.2f} x)")


def teachers(name: str, count: int, spacing: int, dtype: str = "float32") -> tuple[Any, Any]:
    """Return an offline and an online teacher of `count` checkpoints."""
    model, variables = variables_of(name)
    apply_fn = in_precision(model.apply, dtype)
    line = stack([variables] * count, [spacing * (i + 1) for i in range(count)])
    return offline(apply_fn, variables, temperature=4.0), online(apply_fn, line, temperature=4.0)


def measure_cpu(arguments: argparse.Namespace, report: Report) -> None:
    """Measure all parts on a CPU."""
    batch, length, rounds = arguments.batch_size, 1 if arguments.quick else 4, arguments.rounds
    images, labels = random_data(2_048 if arguments.quick else 50_000)
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
        candidates = [
            together(form, name, data, 64, min(length, 2), arguments.seeds) for form in forms
        ]
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
