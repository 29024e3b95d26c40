"""Kernels and complexities from files: the numbers alone, without a run."""

import json
import os
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from kdtheory import models
from kdtheory.complexity import factorize
from kdtheory.datasets import encode_labels, load, normalize
from kdtheory.errors import InputError, RunError
from kdtheory.ntk import gram
from kdtheory.studies.provenance import provenance
from kdtheory.studies.store import write_atomic


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file whole or not at all, under exactly the name given.

    Raises:
      RunError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror}") from error


def load_array(path: Path) -> np.ndarray:
    """Read a .npy file of real numbers.

    Raises:
      InputError: no such file, not a .npy file, truncated, or not real numbers.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is not a whole .npy file of numbers: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise InputError(f"{path} must hold one array of real numbers (.npy)")
    return array


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
    targets: Path | None = None,
) -> tuple[tuple[int, ...], float]:
    """Compute the NTK Gram matrix of a model at initialisation, and save it.

    Beside `out` goes a .json file with these settings and where they ran.

    Returns:
      The matrix's shape, and the seconds that its computation took, compilation included.

    Raises:
      InputError: an unknown name, or a size above the data.
    """
    if out.suffix == ".json":
        raise InputError(f"--out must name the .npy file of the kernel, got {out}")
    data = load(
        dataset, task=task, data_dir=data_dir, train_size=ntk_size, validation_size=0, seed=seed
    )
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
    )
    seconds = time.perf_counter() - began
    save_array(out, kernel)
    if targets is not None:
        save_array(targets, np.asarray(encode_labels(data.train.labels, data.num_outputs)))
    settings = {
        "dataset": dataset, "task": task, "model": model, "ntk_size": ntk_size,
        "outputs": outputs, "method": method, "batch_size": batch_size, "dtype": dtype,
        "seed": seed, "seconds": seconds, "data": dict(data.provenance),
        "provenance": provenance(),
    }  # fmt: skip
    write_atomic(out.with_suffix(".json"), json.dumps(settings, indent=2) + "\n")
    return kernel.shape, seconds


def complexity_of_files(gram_path: Path, targets_path: Path, *, ridge: float) -> dict[str, Any]:
    """Return the named values of `factorize(K, ridge=ridge).complexity(Y)`, as JSON's types.

    Raises:
      InputError: files that cannot be read, or targets of another length.
      KernelError: a kernel that is not square, not finite, asymmetric, indefinite or singular.
    """
    kernel, targets = load_array(gram_path), load_array(targets_path)
    values = factorize(kernel, ridge=ridge).complexity(targets)
    return {name: np.asarray(value).tolist() for name, value in values._asdict().items()}
