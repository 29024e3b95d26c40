"""Complexity of targets for a network's tangent kernel, from the network and the data."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from kdtheory import models
from kdtheory.complexity.intervals import OnProduct
from kdtheory.datasets import ImageDataset, encode_labels, normalize
from kdtheory.errors import InputError, RunError
from kdtheory.measure.kernel_files import load_array, load_examples
from kdtheory.measure.kernel_values import KernelValues, dense_values, operator_values
from kdtheory.memory import available, factorising_bytes
from kdtheory.ntk import gram, operator
from kdtheory.runs.config import RunConfig, read_config
from kdtheory.training import Checkpoints, OptimizerConfig, TrainState, init_state, make_optimizer


def values_of_network(
    *,
    dataset: str,
    task: str,
    data_dir: str | None,
    model: str,
    checkpoint: Path | None,
    seed: int,
    ntk_size: int,
    outputs: str,
    targets: str,
    ridge: float | None,
    ridge_fraction: float | None,
    relative_gap: float,
    max_products: int,
    matrix_free: bool,
    dtype: str,
    spectrum: bool,
    on_tile: Callable[[int, int], None] | None = None,
    on_product: OnProduct | None = None,
) -> KernelValues:
    """Return the complexity of targets for the NTK of a model on training examples.

    Args:
      dataset: as for `kdtheory.datasets.load`.
      task: likewise.
      data_dir: likewise.
      model: name.
      checkpoint: folder of a stored training state (step-...), None for the initialisation.
      seed: of the subsample, the initialisation and random targets.
      ntk_size: number of training examples.
      outputs: "full" or "sum".
      targets: "labels" (one-hot less each output's mean, or +-1), "random" (labels drawn at random,
        encoded likewise), or a .npy file: (n, d), (n,), or a stack.
      ridge: in the kernel's unit, or
      ridge_fraction: in units of the mean of the kernel's diagonal; 0.001 if neither is given.
      relative_gap: of the certified interval.
      max_products: of the iteration.
      matrix_free: never form K; done in any case where K does not fit in memory.
      dtype: of K or of the products.
      spectrum: also return the spectrum.
      on_tile: called with (tiles done, tiles in all) of a dense kernel.
      on_product: called with the narrowing bounds.

    Raises:
      InputError: unknown names, sizes or files that do not fit.
      KernelError: a kernel whose inverse cannot be trusted.
    """
    if ridge is not None and ridge_fraction is not None:
        raise InputError("give --ridge or --ridge-fraction, not both")
    data = load_examples(dataset, task=task, data_dir=data_dir, ntk_size=ntk_size, seed=seed)
    network = models.create(model, data.num_outputs)
    variables = models.init(network, jax.random.key(seed), data.image_shape)
    if checkpoint is not None:
        variables = _restore(checkpoint, variables)
    images = np.asarray(normalize(data.train.images, data.mean, data.std))
    values = _targets(targets, data, outputs=outputs, seed=seed)
    size = ntk_size * (data.num_outputs if outputs == "full" else 1)
    fits = factorising_bytes(size) <= available()
    if fits and not matrix_free:
        kernel = gram(
            network.apply, variables, images, outputs=outputs, dtype=dtype, on_tile=on_tile
        )
        mean = float(np.mean(np.diagonal(kernel), dtype=np.float64))
        return dense_values(
            kernel,
            values,
            ridge=_ridge(ridge, ridge_fraction, mean),
            num_outputs=data.num_outputs if outputs == "full" else 1,
            spectrum=spectrum,
        )
    products = operator(network.apply, variables, images, outputs=outputs, dtype=dtype)
    if ridge is None:
        # Of some examples, which tell it to a few per cent: all would take d backward passes.
        few = operator(
            network.apply, variables, images[:256], outputs=outputs, dtype=dtype
        ).diagonal()
        ridge = _ridge(None, ridge_fraction, float(few.mean(dtype=np.float64)))
    return operator_values(
        products,
        values,
        ridge=ridge,
        relative_gap=relative_gap,
        max_products=max_products,
        seed=seed,
        on_product=on_product,
    )


def _ridge(ridge: float | None, fraction: float | None, mean: float) -> float:
    if ridge is not None:
        return ridge
    fraction = 1e-3 if fraction is None else fraction
    if not (math.isfinite(fraction) and fraction > 0):
        raise InputError(f"--ridge-fraction must be finite and > 0, got {fraction}")
    return fraction * mean


def _targets(name: str, data: ImageDataset, *, outputs: str, seed: int) -> np.ndarray:
    d = data.num_outputs if outputs == "full" else 1
    n = len(data.train)
    if name not in ("labels", "random"):
        path = Path(name)
        if path.suffix != ".npy":
            raise InputError(f"--targets must be labels, random or a .npy file, got {name!r}")
        values = load_array(path)
        # Read here, so that a wrong shape costs no kernel.
        if values.shape not in ((n * d,), (n, d)) and values.shape[1:] not in ((n, d), (n * d,)):
            raise InputError(
                f"{path} has shape {values.shape}; allowed: ({n}, {d}), ({n * d},), or a stack of "
                "such"
            )
        return values
    if d != data.num_outputs:
        raise InputError(
            f"--targets {name} has {data.num_outputs} outputs an example, --outputs {outputs} one; "
            "give a .npy file, or --outputs full"
        )
    labels = np.asarray(data.train.labels)
    if name == "random":
        drawn = np.random.default_rng(seed).integers(0, max(d, 2), size=n)
        labels = drawn.astype(labels.dtype)
    encoded = np.asarray(encode_labels(labels, d), np.float64)
    return encoded if d == 1 else encoded - encoded.mean(axis=0)


def _restore(folder: Path, like: Any) -> Any:
    """Return the variables of a state that `kdtheory run` stored, read as its config.json says."""
    if not folder.is_dir() or not folder.name.startswith("step-"):
        raise InputError(f"--checkpoint must name a folder step-..., got {folder}")
    written = (parent / "config.json" for parent in folder.absolute().parents)
    config_path = next((path for path in written if path.is_file()), None)
    if config_path is None:
        raise InputError(f"--checkpoint {folder} lies in no run: no config.json above it")
    config = read_config(config_path)
    checkpoints = Checkpoints(folder.parent)
    try:
        for form in _stored_forms(config, like):
            with contextlib.suppress(RunError):
                state = checkpoints.restore(int(folder.name[5:]), form)
                return state.variables if isinstance(state, TrainState) else state
    finally:
        checkpoints.close()
    raise InputError(
        f"--checkpoint {folder} cannot be read: it is of another --model, of other outputs, or "
        "damaged"
    )


def _stored_forms(config: RunConfig, variables: Any) -> Iterator[Any]:
    """Yield what a run may have stored of these variables: themselves, or with an optimiser."""
    yield variables
    for field in dataclasses.fields(config):
        optimizer = getattr(config, field.name)
        if isinstance(optimizer, OptimizerConfig):
            made = make_optimizer(optimizer, 1000)
            yield jax.eval_shape(functools.partial(init_state, optimizer=made), variables)
