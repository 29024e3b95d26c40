"""Kernels that are known by their factor: K = J J^T, with products by J and by J^T."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Real

from kdtheory.complexity.kernel_checks import real_array
from kdtheory.errors import InputError, KernelError
from kdtheory.typing import ArrayLike


@runtime_checkable
class JacobianProducts(Protocol):
    """J in R^(N x P): what `kdtheory.ntk.operator(...).jacobian` is, and any object like it.

    `dtype` is float32 or float64; `residual(u, y, s)` returns (w, J^T w) for w = J u + s y.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def matvec(self, direction: np.ndarray, /) -> np.ndarray:
        """Return J u."""
        ...

    def rmatvec(self, vector: np.ndarray, /) -> np.ndarray:
        """Return J^T y."""
        ...

    def residual(
        self, direction: np.ndarray, vector: np.ndarray, scale: float, /
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (w, J^T w) for w = J u + scale y."""
        ...


@runtime_checkable
class FactoredProducts(Protocol):
    """A kernel K = J J^T (+ ridge I) that multiplies vectors and knows its factor."""

    jacobian: Any
    ridge: float

    def __matmul__(self, vector: np.ndarray, /) -> Any:
        """Return (K + ridge I) v."""
        ...


class ArrayJacobian:
    """J as an array, with the products of `JacobianProducts`."""

    def __init__(self, array: Float[np.ndarray, "N P"]) -> None:
        self.array = array
        self.shape: tuple[int, int] = (array.shape[0], array.shape[1])
        self.dtype = array.dtype

    def matvec(self, direction: Real[ArrayLike, " P"]) -> Float[np.ndarray, " N"]:
        """Return J u."""
        return self.array @ np.asarray(direction, self.dtype)

    def rmatvec(self, vector: Real[ArrayLike, " N"]) -> Float[np.ndarray, " P"]:
        """Return J^T y."""
        return np.asarray(vector, self.dtype) @ self.array

    def residual(
        self, direction: Real[ArrayLike, " P"], vector: Real[ArrayLike, " N"], scale: float
    ) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " P"]]:
        """Return (w, J^T w) for w = J u + scale y."""
        w = self.matvec(direction) + self.dtype.type(scale) * np.asarray(vector, self.dtype)
        return w, self.rmatvec(w)


class FactoredKernel:
    """K = J J^T of an array J, never formed; made by `factored`."""

    def __init__(self, jacobian: ArrayJacobian) -> None:
        self.jacobian = jacobian
        self.ridge = 0.0

    def __matmul__(self, vector: np.ndarray) -> np.ndarray:
        """Return K v."""
        return self.jacobian.matvec(self.jacobian.rmatvec(vector))


def factored(jacobian: Real[ArrayLike, "..."]) -> FactoredKernel:
    """Return the kernel K = J J^T of features J, for `certify` and its route "dual".

    Args:
      jacobian: J, shape (N, P), float32 or float64 (other dtypes become float64). It is not
        copied where its dtype allows.

    Raises:
      InputError: not a matrix, or empty.
      KernelError: entries that are not finite.

    >>> factored(np.array([[1.0], [2.0]])) @ np.ones(2)
    array([3., 6.])
    """
    array = real_array("a Jacobian", jacobian, InputError)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"a Jacobian must have shape (N, P), got {array.shape}")
    if array.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise KernelError("the Jacobian has entries that are NaN or infinite; compute it again")
    return FactoredKernel(ArrayJacobian(array))
