"""Products of a kernel with columns, whether it is an array or a function."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Real

from kdtheory.complexity.kernel_checks import checked_copy
from kdtheory.typing import ArrayLike

#: v -> K v: (N,) -> (N,), or (N, t) -> (N, t) where `batched`.
Products: TypeAlias = Callable[[np.ndarray], ArrayLike]


def column_products(
    kernel: Real[ArrayLike, "..."] | Products, *, batched: bool
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function V -> K V on columns, in float32 or float64 as the kernel's own.

    Raises:
      KernelError: an array that is not a finite symmetric matrix.

    >>> column_products(np.diag([1.0, 2.0]), batched=False)(np.ones((2, 1)))
    array([[1.],
           [2.]])
    """
    if not callable(kernel):
        single = np.asarray(kernel).dtype == np.float32
        matrix = checked_copy(kernel, dtype=np.dtype(np.float32 if single else np.float64))
        # A single column as a vector: BLAS is twice as fast at that as at an (N, 1) matrix.
        return lambda columns: (
            (matrix @ columns[:, 0].astype(matrix.dtype))[:, None]
            if columns.shape[1] == 1
            else matrix @ columns.astype(matrix.dtype)
        )
    if batched:
        return lambda columns: _floating(kernel(columns))
    return lambda columns: np.stack(
        [_floating(kernel(np.ascontiguousarray(column))) for column in columns.T], axis=1
    )


def _floating(product: ArrayLike) -> np.ndarray:
    values = np.asarray(product)
    return values if values.dtype == np.float64 else values.astype(np.float32)
