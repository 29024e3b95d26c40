"""A kernel that lies in a file, with what the .json beside it says of it."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from kdtheory.array_files import read_array
from kdtheory.complexity.stacks import stack_targets
from kdtheory.errors import InputError, KernelError
from kdtheory.file_digests import check_digest
from kdtheory.files import parse_json, read_bytes
from kdtheory.measure.described import KernelValues, described
from kdtheory.measure.exact_kernel import ExactKernel, factorize_with
from kdtheory.measure.spec import KernelSpec


def load_array(path: Path, key: str | None = None, *, flag: str = "") -> np.ndarray:
    """Read an array of real numbers from a file of any of `array_files.FORMS`.

    Args:
      path: the file.
      key: the array's name, in a file of several.
      flag: the option that gives the name, for the message.

    Raises:
      InputError: no such file, damaged, several arrays and no name, or not real numbers.
      RunError: the file is not what the digest beside it says.
    """
    try:
        array = read_array(path, key)
    except InputError as error:
        raise InputError(f"{error}{f' ({flag})' * str(error).endswith('is meant')}") from error
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path} must hold real numbers, its dtype is {array.dtype}")
    return array.astype(np.float64) if array.dtype.kind == "b" else array


def values_of_files(
    gram_path: Path,
    targets_path: Path,
    spec: KernelSpec,
    *,
    num_outputs: int | None = None,
    spectrum: bool = False,
    keys: tuple[str | None, str | None] = (None, None),
) -> KernelValues:
    """Return complexity, adjusted complexity and margins of targets on a kernel, both in files.

    The adjusted value depends on n = N / d. d is `num_outputs`, or what the .json that
    `kdtheory gram` writes beside the kernel says; without either, the last axis of targets (n, d),
    or 1 for flat targets. The d and n used are among the values, as "num_outputs" and "n". Margins
    are those of the kernel predictor on the targets' own decisions. `keys` name the arrays in files
    of several.

    Raises:
      InputError: files that cannot be read, targets of another shape, or num_outputs that
        contradicts the .json or does not divide the kernel's rows.
      KernelError: a kernel that is not square, not finite, asymmetric, indefinite or singular.
    """
    matrix = load_array(gram_path, keys[0], flag="--gram-key")
    targets = load_array(targets_path, keys[1], flag="--targets-key")
    d = _outputs_a_row(gram_path, matrix, targets, num_outputs)
    factor = factorize_with(spec, matrix, num_outputs=d)
    stack = stack_targets(targets, size=factor.size, num_outputs=d)
    sets = list(stack.columns.T.reshape(stack.columns.shape[1], stack.num_examples, -1))
    kernel = ExactKernel(factor, num_outputs=sets[0].shape[1], shared=False, matrix=matrix)
    named = {f"set {place}": one for place, one in enumerate(sets)}
    return described(kernel, named, stacked=stack.stacked, spectrum=spectrum)


def _outputs_a_row(
    gram_path: Path, kernel: np.ndarray, targets: np.ndarray, num_outputs: int | None
) -> int | None:
    """Return d of the kernel's rows (n d = N) from the flag or the kernel's .json, None if neither.

    Raises:
      InputError: the flag and the .json contradict each other, the .json is not that of the kernel,
        or the targets are not for what was kept of the outputs.
    """
    settings_path = gram_path.with_suffix(".json")
    stored = _read_settings(settings_path, gram_path)
    if "shape" in stored and list(kernel.shape) != stored["shape"]:
        raise InputError(
            f"{settings_path} describes a kernel of shape {stored['shape']}, {gram_path} has "
            f"{list(kernel.shape)}; move away the one that does not belong there"
        )
    if kernel.ndim == 3:
        raise KernelError(
            f"{gram_path} holds {len(kernel)} matrices (--outputs diagonal: one for each output), "
            "which is not one matrix; save a single one, K[a], with targets of shape (n,) or a "
            "stack (k, n), or make the kernel with --outputs full"
        )
    if kernel.ndim != 2:
        # Nothing to compare with; `factorize` says what is wrong.
        return num_outputs
    size = len(kernel)
    kept = stored.get("outputs", "full")
    one_a_row = kept in ("trace", "sum")
    if one_a_row or _one_row_an_example(kernel, targets, num_outputs):
        source = f"was made with --outputs {kept}" if one_a_row else "has one row an example"
        taken = {(size,), (size, 1), (*targets.shape[:1], size), (*targets.shape[:1], size, 1)}
        if targets.shape not in taken:
            raise InputError(
                f"{gram_path} {source}: it takes targets of shape ({size},) or a stack "
                f"(k, {size}), got {targets.shape}; for targets (n, d) make the kernel with "
                "--outputs full"
            )
    told = 1 if one_a_row else stored.get("num_outputs")
    if told is not None and num_outputs not in (None, told):
        raise InputError(
            f"--num-outputs {num_outputs} contradicts {settings_path}, which says {told} "
            f"(--outputs {kept}); leave the flag out, or move that file away"
        )
    return told if num_outputs is None else num_outputs


def _one_row_an_example(kernel: np.ndarray, targets: np.ndarray, num_outputs: int | None) -> bool:
    """Return whether (n, d) or (k, n, d) targets, d > 1, meet a kernel of n rows."""
    return (
        num_outputs in (None, 1)
        and targets.ndim in (2, 3)
        and targets.shape[-2] == len(kernel)
        and targets.shape[-1] not in (1, len(kernel))
    )


def _read_settings(path: Path, kernel: Path) -> dict[str, Any]:
    """Return what a kernel's .json says of it; empty without one, or where it is another's.

    Raises:
      InputError: it is damaged.
      RunError: it is not what was written beside the kernel.
    """
    try:
        content = read_bytes(path)
        check_digest(path, io.BytesIO(content), beside=kernel)
        read = parse_json(content)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}, beside the kernel, is damaged ({error}); remove it") from error
    if not isinstance(read, dict) or type(read.get("num_outputs")) is not int:
        return {}
    return read
