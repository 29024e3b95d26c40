"""Targets of every accepted shape, as the columns of one matrix."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from kdtheory.complexity.kernel_checks import real_array
from kdtheory.errors import InputError, KernelError
from kdtheory.typing import AnyArray


class TargetStack(NamedTuple):
    """k sets of targets for a kernel of N rows."""

    columns: np.ndarray
    """(N, k), column-major; column j is set j, example-major."""
    num_examples: int
    """N."""
    stacked: bool
    """Whether the caller gave a stack (results are arrays) or one set (floats)."""

    def unstack(self, values: Float[np.ndarray, " k"]) -> float | np.ndarray:
        """Return one value a set: a float for one set, the array for a stack."""
        return values if self.stacked else float(values[0])


def stack_targets(
    targets: AnyArray,
    *,
    size: int,
    num_outputs: int | None = None,
    dtype: np.dtype | type = np.float64,
) -> TargetStack:
    """Read targets of shape (N,), (n, d), (k, n, d) or (k, N) for a kernel of N = n d rows.

    (1, N) is a stack of one set; every other two-dimensional shape can be read in one way only.
    Flat sets have n = N / num_outputs examples, N where num_outputs is not given.

    Raises:
      InputError: a shape that is none of these; values that are not real, not finite, or too large
        to be squared; class indices in place of targets.
      KernelError: a kernel of no rows.

    >>> stack_targets(np.ones((3, 2)), size=6).num_examples
    3
    >>> stack_targets(np.ones((2, 6)), size=6).columns.shape
    (6, 2)
    >>> stack_targets(np.ones(5), size=6)
    Traceback (most recent call last):
    ...
    kdtheory.errors.InputError: targets of shape (5,) do not fit a kernel of 6 rows; allowed: (6,),
    (n, d) with n * d = 6, (k, n, d) or (k, 6)
    """
    if size == 0:
        raise KernelError("kernel is empty: it needs at least one example")
    values = real_array("targets", targets, InputError)
    shape = values.shape
    outputs = num_outputs
    stacked = True
    if shape == (size,):
        stacked = False
        fits = True
    elif values.ndim == 2 and shape[0] >= 1 and shape[1] == size and shape != (size, 1):
        # (1, 1) for a kernel of one row is the same set either way.
        fits = True
    elif values.ndim in (2, 3) and shape[-2] * shape[-1] == size:
        stacked = values.ndim == 3
        outputs = shape[-1]
        fits = shape[0] >= 1 and num_outputs in (None, outputs)
    else:
        fits = False
    if not fits:
        d = "d" if num_outputs is None else num_outputs
        raise InputError(
            f"targets of shape {shape} do not fit a kernel of {size} rows; allowed: ({size},), "
            f"(n, {d}) with n * {d} = {size}, (k, n, {d}) or (k, {size})"
        )
    if not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise InputError(f"targets have {bad} values that are NaN or infinite; all must be finite")
    if (outputs or 1) == 1 and size > 1:
        refuse_class_indices(values)
    largest = math.sqrt(float(np.finfo(dtype).max) / size) / 1e10
    if values.size and float(np.abs(values.astype(np.float64)).max()) > largest:
        raise InputError(
            f"targets as large as {float(np.abs(values.astype(np.float64)).max()):.3g} cannot be "
            f"squared and summed in {np.dtype(dtype).name}, at most {largest:.1g}: divide them by "
            "their root mean square (complexity is divided by its square)"
        )
    columns = np.asarray(values, dtype=dtype).reshape(-1, size).T
    return TargetStack(columns, size // (outputs or 1), stacked)


def refuse_class_indices(values: Real[np.ndarray, "..."]) -> None:
    """Raise InputError if the targets of one output are class indices: whole, and none below 0.

    >>> refuse_class_indices(np.array([1, -1])), refuse_class_indices(np.array([0.0, 1.0]))
    (None, None)
    """
    if values.dtype.kind in "biu" and (values.dtype == bool or values.min() >= 0):
        raise InputError(
            f"targets of dtype {values.dtype} and shape {values.shape} are class indices, not "
            "numbers to fit: give 2.0 * labels - 1 for two classes, one column of one-hot labels "
            "less their mean for each class else, or floats if these numbers are meant"
        )
