"""What `benchmarks.training` times: kdtheory's loops, and the plain loops beside them."""

import contextlib
import functools
import importlib.util
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import torch_models
from kdtheory import models
from kdtheory.datasets import AugmentConfig
from kdtheory.targets import Labels, offline, online, stack
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
from kdtheory.training.parallel_dispatch import side_by_side
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
    return make_optimizer(OptimizerConfig(learning_rate=0.01, gradient_clip=None), 100_000)


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

        def call(_open: contextlib.ExitStack = threads) -> None:  # which else would close
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


def teachers(name: str, count: int, spacing: int, dtype: str = "float32") -> tuple[Any, Any]:
    """Return an offline and an online teacher of `count` checkpoints."""
    model, variables = variables_of(name)
    apply_fn = in_precision(model.apply, dtype)
    line = stack([variables] * count, [spacing * (i + 1) for i in range(count)])
    return offline(apply_fn, variables, temperature=4.0), online(apply_fn, line, temperature=4.0)
