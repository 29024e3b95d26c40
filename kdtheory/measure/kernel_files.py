"""Kernels to files: the matrix alone, without a run."""

import contextlib
import datetime
import json
import sys
import tempfile
import time
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from kdtheory import models
from kdtheory.datasets import ImageDataset, encode_labels, load, normalize
from kdtheory.errors import InputError, RunError
from kdtheory.files import write_whole
from kdtheory.memory import check_fits, making_bytes
from kdtheory.ntk import gram
from kdtheory.ntk.blockwise import Progress as GramProgress
from kdtheory.ntk.engines import kernel_shape
from kdtheory.runs.provenance import provenance


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file whole or not at all, under exactly the name given.

    Raises:
      RunError: the file cannot be written.
    """
    write_whole(path, lambda file: np.save(file, array, allow_pickle=False))


def load_array(path: Path) -> np.ndarray:
    """Read a .npy file of real numbers.

    Raises:
      InputError: no such file, not a .npy file, truncated, or not real numbers.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                raise InputError(
                    f"{path} is an archive (.npz); save the one array in it with np.save as .npy"
                )
            file.seek(0)
            array = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except InputError:
        raise
    # What NumPy lets through for damaged headers, besides its own ValueError.
    except (
        ValueError, EOFError, TypeError, SyntaxError, tokenize.TokenError, MemoryError,
        OverflowError, RecursionError,
    ) as error:  # fmt: skip
        raise InputError(f"{path} is not a whole .npy file of numbers: {error}") from error
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path} must hold real numbers, its dtype is {array.dtype}")
    return array


@contextlib.contextmanager
def tile_bar() -> Iterator[Callable[[int, int], None]]:
    """Show a kernel's progress on standard error, and nothing where that is not a terminal.

    Yields:
      The function (tiles done, tiles in all) that `kdtheory.ntk.gram` takes as `on_tile`.
    """
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("remaining"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    ) as bars:
        task = bars.add_task("kernel tiles", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextlib.contextmanager
def gram_bar() -> Iterator[Callable[[GramProgress], None]]:
    """Show a kernel's progress as `tile_bar` does, by the time that the work left will take.

    Tiles alone tell little of it: the first ones of a panel wait for features, and the last do not.

    Yields:
      The function that `kdtheory.ntk.gram` takes as `on_progress`.
    """
    began = time.monotonic()
    with Progress(
        TextColumn("kernel tiles"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[tiles]}"),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("remaining {task.fields[remaining]}"),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    ) as bars:
        task = bars.add_task("", total=None, tiles="", remaining="-:--:--")

        def show(progress: GramProgress) -> None:
            tiles = f"{progress.done}/{progress.total}"
            left = progress.seconds_left
            if left is None:
                bars.update(task, tiles=tiles)
                return
            elapsed = time.monotonic() - began
            remaining = str(datetime.timedelta(seconds=round(left)))
            bars.update(
                task, completed=elapsed, total=elapsed + left, tiles=tiles, remaining=remaining
            )

        yield show


def save_gram(
    out: Path,
    *,
    dataset: str,
    task: str,
    data_dir: str | None,
    model: str,
    ntk_size: int,
    outputs: str,
    method: str,
    batch_size: int | None,
    dtype: str,
    seed: int,
    precision: str = "highest",
    test_fraction: float | None = None,
    image_size: tuple[int, int] | None = None,
    targets: Path | None = None,
    memory_budget: str | None = None,
    store: Path | None = None,
    devices: int | None = None,
    distributed: bool = False,
    on_tile: Callable[[int, int], None] | None = None,
    on_progress: Callable[[GramProgress], None] | None = None,
) -> tuple[tuple[int, ...], float]:
    """Compute the NTK Gram matrix of a model at initialisation, and save it.

    Beside `out` goes a .json file with these settings, the number of outputs d, and where they ran.
    Sizes, paths and memory are checked before anything is computed. `precision`, `memory_budget`,
    `store` and `distributed` are those of `kdtheory.ntk.gram`; of several processes the first one
    saves.
    `devices` of this process share the examples: None for all.

    Returns:
      The matrix's shape, and the seconds that its computation took, compilation included.

    Raises:
      InputError: an unknown name, a size above the data or above the memory, or files that cannot
        be written or are one and the same.
      RunError: writing fails later.
    """
    _check_paths(out, targets)
    mesh = _mesh(devices)
    data = load_examples(
        dataset, task=task, data_dir=data_dir, ntk_size=ntk_size, seed=seed,
        test_fraction=test_fraction, image_size=image_size,
    )  # fmt: skip
    shape = kernel_shape(outputs, ntk_size, ntk_size, data.num_outputs)
    _check_memory(shape, dtype)
    network = models.create(model, data.num_outputs)
    variables = models.init(network, jax.random.key(seed), data.image_shape)
    images = np.asarray(normalize(data.train.images, data.mean, data.std))
    began = time.perf_counter()
    kernel = gram(
        network.apply,
        variables,
        images,
        outputs=outputs,
        method=method,
        batch_size=batch_size,
        dtype=dtype,
        precision=precision,
        memory_budget=memory_budget,
        store=store,
        mesh=mesh,
        distributed=distributed,
        on_tile=on_tile,
        on_progress=on_progress,
    )
    seconds = time.perf_counter() - began
    if distributed and jax.process_index() > 0:
        return kernel.shape, seconds
    settings_path = out.with_suffix(".json")
    try:
        # The old one would describe the new kernel, if we were killed before it is replaced.
        settings_path.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot replace {settings_path}: {error.strerror}") from error
    save_array(out, kernel)
    if targets is not None:
        save_array(targets, np.asarray(encode_labels(data.train.labels, data.num_outputs)))
    settings = {
        "dataset": dataset, "task": task, "model": model, "ntk_size": ntk_size,
        "outputs": outputs, "num_outputs": data.num_outputs, "shape": list(kernel.shape),
        "method": method, "batch_size": batch_size, "dtype": dtype,
        "precision": precision, "memory_budget": memory_budget,
        "devices": 1 if mesh is None else int(mesh.devices.size),
        "processes": jax.process_count() if distributed else 1,
        "test_fraction": test_fraction,
        "image_size": None if image_size is None else list(image_size),
        "seed": seed, "seconds": seconds, "data": dict(data.provenance),
        "provenance": provenance(),
    }  # fmt: skip
    write_whole(settings_path, json.dumps(settings, indent=2) + "\n")
    return kernel.shape, seconds


def _mesh(devices: int | None) -> jax.sharding.Mesh | None:
    """Return a mesh of this process' first devices; None for a single one."""
    local = jax.local_devices()
    count = len(local) if devices is None else devices
    if not 1 <= count <= len(local):
        raise InputError(f"--devices must be 1 to {len(local)} here, got {count}")
    return None if count == 1 else jax.sharding.Mesh(np.array(local[:count]), ("examples",))


def load_examples(
    dataset: str,
    *,
    task: str,
    data_dir: str | None,
    ntk_size: int,
    seed: int,
    test_fraction: float | None = None,
    image_size: tuple[int, int] | None = None,
) -> ImageDataset:
    """Load the training examples that a kernel is computed on; no validation split is held out.

    Raises:
      InputError: as `kdtheory.datasets.load`; a size that does not fit is named as --ntk-size.
    """
    try:
        return load(
            dataset, task=task, data_dir=data_dir, train_size=ntk_size, validation_size=0,
            test_fraction=test_fraction, image_size=image_size, seed=seed,
        )  # fmt: skip
    except InputError as error:
        # The argument of `load` is this command's --ntk-size.
        if str(error).startswith("train_size "):
            raise InputError(str(error).replace("train_size", "--ntk-size", 1)) from error
        raise


def _check_paths(out: Path, targets: Path | None) -> None:
    """Raise InputError, naming the flag, for files that could not be written in the end."""
    if out.suffix == ".json":
        raise InputError(f"--out must name the .npy file of the kernel, got {out}")
    _check_writable("--out", out)
    settings_path = out.with_suffix(".json")
    _check_writable("--out", settings_path)
    if targets is not None:
        _check_writable("--targets", targets)
        for taken, what in ((out, "the kernel (--out)"), (settings_path, "the kernel's settings")):
            if targets.resolve() == taken.resolve():
                raise InputError(f"--targets {targets} is the file of {what}; name another")


def _check_writable(flag: str, path: Path) -> None:
    try:
        if path.is_dir():
            raise InputError(f"{flag} must name a file, {path} is a folder")
        folder = path.absolute().parent
        while not folder.exists():
            folder = folder.parent
        # The rights alone do not tell of a read-only or a virtual file system.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{flag}: cannot write {path}: {error.strerror}") from error


def _check_memory(shape: tuple[int, ...], dtype: str) -> None:
    """Raise InputError for a kernel that does not fit, with as much again to work with."""
    check_fits(
        f"a kernel of {' x '.join(map(str, shape))} {dtype}",
        making_bytes(shape, dtype),
        "take a smaller --ntk-size, --outputs trace, or --dtype float32",
    )
