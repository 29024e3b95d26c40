"""Products of a kernel with columns, whether it is an array or a function."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Real

from kdtheory.complexity.kernel_checks import checked_copy, real_array
from kdtheory.complexity.norms import array_norm_bound, random_norm_bound
from kdtheory.errors import KernelError
from kdtheory.typing import ArrayLike

#: v -> K v: (N,) -> (N,), or (N, t) -> (N, t) where `batched`.
Products: TypeAlias = Callable[[np.ndarray], ArrayLike]


def column_products(
    kernel: Real[ArrayLike, "..."] | Products, *, batched: bool
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function V -> K V on columns; float64 for arrays, else as the function's own.

    An array is copied, in float64: what float32 would save in memory its rounding would cost in
    width, in proportion to the condition number.

    Raises:
      KernelError: an array that is not a finite symmetric matrix.

    >>> column_products(np.diag([1.0, 2.0]), batched=False)(np.ones((2, 1)))
    array([[1.],
           [2.]])
    """
    if not callable(kernel):
        matrix = checked_copy(kernel, dtype=np.dtype(np.float64))
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
    values = real_array("a product of the kernel", product, KernelError)
    return values if values.dtype == np.float64 else values.astype(np.float32)


def norm_bound(
    kernel: Real[ArrayLike, "..."] | Products,
    apply: Callable[[np.ndarray], np.ndarray],
    size: int,
    *,
    known: float | None,
) -> float:
    """Return a bound of ||K||: the known one, else of an array's entries, else of its products.

    Args:
      kernel: K.
      apply: `column_products` of it.
      size: N.
      known: a number at or above every eigenvalue, if one is.

    >>> norm_bound(np.diag([1.0, 2.0]), np.asarray, 2, known=None) >= 2.0
    True
    """
    if known is not None:
        return known
    if not callable(kernel):
        return array_norm_bound(np.asarray(kernel))
    return random_norm_bound(lambda v: apply(v[:, None])[:, 0], size)
