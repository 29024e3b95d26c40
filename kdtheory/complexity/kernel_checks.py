"""What a kernel must be before its inverse is worth computing, and the errors that say why not."""

import math
import sys
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Float, Num

from kdtheory.arguments import as_array
from kdtheory.errors import InputError, KernelError
from kdtheory.typing import AnyArray

#: Rows compared at a time: both blocks stay in the cache.
_BLOCK = 512
#: Asymmetry that sums of different order can leave, in units of eps times the largest entry.
_ASYMMETRY = 1e4
#: Entries beyond which sums of squares overflow.
_LARGEST = 1e140


class Precision(NamedTuple):
    """The coarser of the dtype a kernel arrived in and the dtype of the work."""

    name: str
    eps: float


def real_array(
    name: str, values: Any, error: type[InputError] | type[KernelError]
) -> Num[np.ndarray, "..."]:
    """Return any framework's array, or nested lists, as a NumPy array of real numbers.

    Args:
      name: what it is, for the message.
      values: of any type.
      error: to raise.

    Raises:
      InputError, KernelError: complex numbers (NumPy would drop their imaginary part with no more
        than a warning), rows of different length, anything but numbers.

    >>> real_array("kernel", [[2, 1], [1, 2]], KernelError).shape
    (2, 2)
    >>> real_array("kernel", np.eye(2) * 1j, KernelError)
    Traceback (most recent call last):
    ...
    kdtheory.errors.KernelError: kernel must be real, got complex128: take .real if the imaginary
    part is rounding
    """
    array = as_array(name, values, error)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise error(
            f"{name} must be real, got {array.dtype}: take .real if the imaginary part is rounding"
        )
    return array


def precision_of(gram: AnyArray, dtype: np.dtype) -> Precision:
    """Return the precision to which the kernel's entries are known.

    >>> precision_of(np.eye(2, dtype=np.float32), np.dtype(np.float64))
    Precision(name='float32', eps=1.1920928955078125e-07)
    """
    candidates = [np.dtype(dtype)]
    own = as_array("kernel", gram, KernelError).dtype
    if jnp.issubdtype(own, jnp.floating):
        candidates.append(own)
    return max(
        (Precision(kind.name, float(jnp.finfo(kind).eps)) for kind in candidates),
        key=lambda precision: precision.eps,
    )


def checked_copy(gram: AnyArray, *, dtype: np.dtype) -> Float[np.ndarray, "N N"]:
    """Return the kernel as a new symmetric array (column-major), after checking it.

    The two triangles, which may differ by rounding, are averaged.

    Raises:
      KernelError: not a square matrix, empty, not finite, asymmetric beyond rounding, or with a
        diagonal entry below zero beyond rounding, or a negative trace.

    >>> checked_copy(np.array([[2.0, 0.5], [-0.5, 1.0]]), dtype=np.dtype(np.float64))
    Traceback (most recent call last):
    ...
    kdtheory.errors.KernelError: kernel is not symmetric: entries across the diagonal differ by up
    to 1 (0.5 of the largest entry; rounding of float64 explains 2.2e-12); use (K + K.T) / 2 if
    that is what you mean
    """
    values = real_array("kernel", gram, KernelError)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise KernelError(
            f"kernel must be a square matrix, got shape {values.shape}; for (n, n, d, d) "
            "use .transpose(0, 2, 1, 3).reshape(n * d, n * d)"
        )
    if values.shape[0] == 0:
        raise KernelError("kernel is empty: shape (0, 0); it needs at least one example")
    if not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise KernelError(
            f"kernel has {bad} entries that are NaN or infinite, the first at ({row}, {column}); "
            "compute it again"
        )
    precision = precision_of(gram, dtype)
    # The transpose of a row-major copy is column-major, as LAPACK wants it, at no cost.
    matrix = np.array(values, dtype=dtype, order="C").T
    asymmetry = _symmetrize(matrix)
    largest = max(float(matrix.max()), -float(matrix.min()), asymmetry / 2)
    allowed = min(_ASYMMETRY * precision.eps, 0.1)
    if asymmetry > allowed * largest:
        raise KernelError(
            f"kernel is not symmetric: entries across the diagonal differ by up to {asymmetry:.3g} "
            f"({asymmetry / largest:.2g} of the largest entry; rounding of {precision.name} "
            f"explains {allowed:.2g}); use (K + K.T) / 2 if that is what you mean"
        )
    if largest > _LARGEST:
        raise KernelError(
            f"kernel has entries as large as {largest:.3g}, at most {_LARGEST:.0e} can be squared "
            "and summed: divide it by its mean diagonal (complexity is multiplied by the same)"
        )
    _check_diagonal(matrix.diagonal(), largest=largest, precision=precision)
    return matrix


def _check_diagonal(diagonal: np.ndarray, *, largest: float, precision: Precision) -> None:
    """Raise KernelError for a diagonal that no kernel has, whatever a ridge would make of it."""
    trace = float(diagonal.sum(dtype=np.float64))
    lowest = int(np.argmin(diagonal))
    value = float(diagonal[lowest])
    # Centring, for one, leaves entries below zero by rounding.
    beyond = value < -10 * math.sqrt(len(diagonal)) * precision.eps * largest
    if beyond or trace < 0:
        raise KernelError(
            f"kernel is indefinite: diagonal entry {lowest} is {value:.3g} and the trace "
            f"{trace:.3g}, but k(x, x) and its sum are never negative; check how the kernel was "
            "computed and its sign (a ridge does not make it a kernel)"
        )


def _symmetrize(matrix: np.ndarray) -> float:
    """Average the two triangles in place and return their largest difference."""
    size = matrix.shape[0]
    asymmetry = 0.0
    for i in range(0, size, _BLOCK):
        rows = slice(i, i + _BLOCK)
        for j in range(i, size, _BLOCK):
            columns = slice(j, j + _BLOCK)
            lower = matrix[columns, rows]
            upper = matrix[rows, columns].T
            # Halved first: the sum of two entries near the largest float would overflow.
            asymmetry = max(asymmetry, 2 * float(np.abs(lower / 2 - upper / 2).max()))
            mean = lower / 2 + upper / 2
            matrix[columns, rows] = mean
            matrix[rows, columns] = mean.T
    return asymmetry


def sufficient_ridge(norm: float, size: int, precision: Precision) -> float:
    """Return a ridge that makes any positive semidefinite kernel well enough conditioned.

    With ridge r, cond_1(K + r I) <= sqrt(N) (||K||_1 + r) / r, which is below 1 / eps for
    r = 2 sqrt(N) eps ||K||_1.

    >>> sufficient_ridge(4.0, 4, Precision("float64", 2.0**-52)) == 2.0**-48
    True
    """
    return 2 * math.sqrt(size) * precision.eps * norm


def singular(
    *, condition: float, norm: float, size: int, ridge: float, precision: Precision
) -> KernelError:
    """Return the error for K + ridge I whose condition number is above 1 / eps."""
    if norm == 0:
        return KernelError(
            "kernel is zero: its only function is 0, and no targets but 0 have a complexity; check "
            "how it was computed (or give ridge > 0, for the complexity ||Y||^2 / ridge)"
        )
    if sufficient_ridge(norm, size, precision) < sys.float_info.min:
        return KernelError(
            f"kernel has no entries above {norm:.3g}, which float64 holds without its precision: "
            "divide it by its mean diagonal (complexity is multiplied by the same)"
        )
    needed = _round_up(sufficient_ridge(norm, size, precision))
    in_float64 = "" if precision.name == "float64" else "compute the kernel in float64 or "
    return KernelError(
        f"kernel is singular at the precision of {precision.name} (condition {condition:.2g}, at "
        f"most {1 / precision.eps:.2g} can be trusted; ridge {ridge:.3g}); {in_float64}give "
        f"ridge >= {needed}, or use complexity.pseudo_inverse"
    )


def indefinite(
    smallest: float, *, size: int, norm: float, ridge: float, precision: Precision
) -> KernelError | None:
    """Return the error for a smallest eigenvalue of K + ridge I too far below 0 to be rounding."""
    # Rounding of the entries moves an eigenvalue by some sqrt(N) eps ||K||; ten times that is not
    # rounding any more.
    if smallest >= -10 * math.sqrt(size) * precision.eps * norm:
        return None
    needed = _round_up(ridge - smallest + sufficient_ridge(norm, size, precision))
    return KernelError(
        f"kernel is indefinite: its smallest eigenvalue is {smallest - ridge:.3g} (ridge "
        f"{ridge:.3g}, 1-norm {norm:.3g}), more than the rounding of {precision.name}; "
        f"check how it was computed, or give ridge >= {needed}"
    )


def no_cholesky(
    matrix: np.ndarray, *, norm: float, ridge: float, precision: Precision
) -> KernelError:
    """Return the error for K + ridge I without Cholesky factor: indefinite, or merely singular.

    Args:
      matrix: K + ridge I; the diagonal and the strict upper triangle are read, and overwritten.
      norm: its 1-norm.
      ridge: the ridge within it.
      precision: of the kernel's entries.
    """
    size = matrix.shape[0]
    smallest = float(
        scipy.linalg.eigvalsh(
            matrix,
            lower=False,
            subset_by_index=(0, 0),
            overwrite_a=True,
            check_finite=False,
        )[0]
    )
    error = indefinite(smallest, size=size, norm=norm, ridge=ridge, precision=precision)
    if error is not None:
        return error
    return singular(condition=math.inf, norm=norm, size=size, ridge=ridge, precision=precision)


def _round_up(value: float) -> str:
    """Two significant digits, never below the value: the named remedy must do.

    >>> _round_up(0.0012301)
    '0.0013'
    """
    text = f"{value:.1e}"
    if float(text) < value:
        text = f"{float(text) + 10.0 ** (math.floor(math.log10(value)) - 1):.1e}"
    return f"{float(text):g}"


def relative_ridge(fraction: float, *, trace: float, rows: int) -> float:
    """Return lambda = fraction * Tr K / N: the one formula of a relative ridge.

    >>> relative_ridge(0.01, trace=4.0, rows=2)
    0.02
    """
    return fraction * trace / rows


def ridge_from_trace(gram: AnyArray, fraction: float) -> float:
    """Return fraction * Tr K / N: a ridge relative to the mean diagonal entry.

    `ridge` is lambda itself throughout `kdtheory.complexity`; this makes one from a fraction, which
    is what `kdtheory.measure` and the command line call `ridge`. Complexity with such a ridge
    scales as 1/c when K is scaled by c, as it does without a ridge, so that values along training,
    while the kernel grows, stay comparable.

    Args:
      gram: kernel, shape (N, N).
      fraction: of the mean diagonal entry, > 0.

    Returns:
      The ridge, in the kernel's unit.

    Raises:
      InputError: fraction that is not positive and finite.
      KernelError: a trace that is not finite.

    >>> ridge_from_trace(np.diag([1.0, 3.0]), 0.01)
    0.02
    """
    if not (math.isfinite(fraction) and fraction > 0):
        raise InputError(f"fraction of the mean diagonal must be finite and > 0, got {fraction}")
    trace = float(np.trace(as_array("kernel", gram, KernelError), dtype=np.float64))
    if not math.isfinite(trace):
        raise KernelError("kernel has NaN or infinite entries on its diagonal; compute it again")
    return relative_ridge(fraction, trace=trace, rows=len(gram))
