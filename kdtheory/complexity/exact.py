"""Supervision complexity by one Cholesky factorisation, with evidence that it can be trusted."""

import math
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy.typing import DTypeLike
from scipy.linalg import blas, lapack

from kdtheory.complexity.kernel_checks import checked_copy, no_cholesky, precision_of, singular
from kdtheory.complexity.stacks import TargetStack, stack_targets
from kdtheory.errors import InputError
from kdtheory.typing import AnyArray


class Complexity(NamedTuple):
    """Supervision complexity of one set of targets, or of a stack of k of them.

    `complexity`, `adjusted` and `residual` are floats for one set and float64 arrays of shape (k,)
    for a stack; the rest belongs to the kernel and is always a float.
    """

    complexity: float | np.ndarray
    """C = Y^T (K + ridge I)^-1 Y, in the squared unit of the targets over the unit of the kernel;
    the squared RKHS norm of the minimum-norm interpolant where ridge = 0.
    """
    adjusted: float | np.ndarray
    """(1/n) sqrt(C Tr K), n the number of examples; does not change when K is scaled."""
    trace: float
    """Tr K, without the ridge."""
    ridge: float
    """The ridge that was added to the diagonal."""
    condition: float
    """Estimate of the 1-norm condition number of K + ridge I (LAPACK pocon; never above the true
    one, seldom below a third of it).
    """
    residual: float | np.ndarray
    """||(K + ridge I) a - Y|| / ||Y|| of the solution a (0 for targets that are zero)."""


class Factor:
    """The Cholesky factor of K + ridge I: computed once, serves any number of targets.

    Made by `factorize`. One array holds everything: the factor in the lower triangle, the strict
    upper triangle of K + ridge I above it (for residuals), and the diagonal beside it.
    """

    def __init__(
        self,
        packed: np.ndarray,
        diagonal: np.ndarray,
        *,
        trace: float,
        ridge: float,
        condition: float,
        num_outputs: int | None,
    ) -> None:
        self._packed = packed
        self._diagonal = diagonal
        self._num_outputs = num_outputs
        #: Tr K, without the ridge.
        self.trace = trace
        #: The ridge that was added to the diagonal.
        self.ridge = ridge
        #: Estimate of the 1-norm condition number of K + ridge I.
        self.condition = condition

    @property
    def size(self) -> int:
        """Rows of the kernel: examples times outputs."""
        return self._packed.shape[0]

    def complexity(self, targets: AnyArray) -> Complexity:
        """Return Y^T (K + ridge I)^-1 Y and what belongs to it, for one or many sets of targets.

        Args:
          targets: for a kernel of N rows, one of the shapes below; n d = N.

            - `(N,)`: one set. One output an example (n = N), unless `factorize` was told
              `num_outputs`.
            - `(n, d)`: one set; row i, column a of Y is row i d + a of the kernel.
            - `(k, n, d)`: a stack of k sets.
            - `(k, N)`: a stack of k flat sets, read as `(N,)` is.

            `(1, N)` is a stack of one set, not one example with N outputs; every other
            two-dimensional shape can be read in one way only.

        Returns:
          A `Complexity`; floats for one set, arrays of shape (k,) for a stack.

        Raises:
          InputError: targets of another length, or not finite.

        The value is ||L^-1 Y||^2 with K + ridge I = L L^T, so it is never negative. Source: the
        paper (Harutyunyan et al., ICLR 2023, arXiv 2301.12245), also for the adjusted form
        (1/n) sqrt(Y^T K^-1 Y Tr K).

        >>> factor = factorize(np.diag([4.0, 16.0]))
        >>> one = factor.complexity(np.array([2.0, 8.0]))
        >>> one.complexity, one.trace, round(one.adjusted, 6)
        (5.0, 20.0, 5.0)
        >>> factor.complexity(np.array([[2.0, 8.0], [0.0, 8.0], [0.0, 0.0]])).complexity
        array([5., 4., 0.])
        """
        stack = self._stack(targets)
        half = self._solve_triangle(stack.columns, transposed=False)
        complexity = np.einsum("ij,ij->j", half, half, dtype=np.float64)
        # Two roots, since C Tr K itself can overflow.
        adjusted = np.sqrt(complexity) * math.sqrt(self.trace) / stack.num_examples
        residual = self._residual(self._solve_triangle(half, transposed=True), stack.columns)
        return Complexity(
            complexity=stack.unstack(complexity),
            adjusted=stack.unstack(adjusted),
            trace=self.trace,
            ridge=self.ridge,
            condition=self.condition,
            residual=stack.unstack(residual),
        )

    def solve(self, targets: AnyArray) -> Float[np.ndarray, "..."]:
        """Return a = (K + ridge I)^-1 Y, in the shape of the targets.

        The kernel predictor of the targets is f(x) = k(x, X) a.

        Args:
          targets: as for `complexity`.

        Raises:
          InputError: targets of another length, or not finite.

        >>> factorize(np.diag([2.0, 8.0])).solve(np.array([2.0, 4.0]))
        array([1. , 0.5])
        """
        stack = self._stack(targets)
        half = self._solve_triangle(stack.columns, transposed=False)
        solution = self._solve_triangle(half, transposed=True)
        return np.ascontiguousarray(solution.T).reshape(np.shape(targets))

    def half_solve(self, targets: AnyArray) -> Float[np.ndarray, "..."]:
        """Return z = L^-1 Y with K + ridge I = L L^T, in the shape of the targets.

        ||z||^2 is the complexity; `prequential_fit` says what its parts mean.

        Args:
          targets: as for `complexity`.

        Raises:
          InputError: targets of another length, or not finite.

        >>> factorize(np.diag([4.0, 16.0])).half_solve(np.array([2.0, 8.0]))
        array([1., 2.])
        """
        half = self._solve_triangle(self._stack(targets).columns, transposed=False)
        return np.ascontiguousarray(half.T).reshape(np.shape(targets))

    @property
    def pivots(self) -> Float[np.ndarray, " N"]:
        """The diagonal of L, K + ridge I = L L^T."""
        return self._packed.diagonal().copy()

    def pivot_blocks(self, d: int) -> Float[np.ndarray, "n d d"]:
        """Return the lower triangular (d, d) blocks on the diagonal of L.

        >>> factorize(np.diag([4.0, 16.0])).pivot_blocks(2)
        array([[[2., 0.],
                [0., 4.]]])
        """
        rows = np.arange(self.size).reshape(-1, d)
        return np.tril(self._packed[rows[:, :, None], rows[:, None, :]])

    def inverse_diagonal(self) -> Float[np.ndarray, " N"]:
        """Return the diagonal of (K + ridge I)^-1, by the inverse of the factor.

        Needs one more array of the kernel's size while it runs. With `solve` it gives every
        leave-one-out prediction: y_i - a_i / ((K + ridge I)^-1)_ii.

        >>> factorize(np.diag([2.0, 8.0])).inverse_diagonal()
        array([0.5  , 0.125])
        """
        (trtri,) = lapack.get_lapack_funcs(("trtri",), (self._packed,))
        inverse, _ = trtri(self._packed, lower=1, overwrite_c=0)
        # trtri leaves the strict upper triangle as it was: the kernel, not zeros.
        lower = np.tril(inverse)
        return np.einsum("ij,ij->j", lower, lower)

    def _stack(self, targets: AnyArray) -> TargetStack:
        return stack_targets(
            targets, size=self.size, num_outputs=self._num_outputs, dtype=self._packed.dtype
        )

    def _solve_triangle(self, columns: np.ndarray, *, transposed: bool) -> np.ndarray:
        return scipy.linalg.solve_triangular(
            self._packed, columns, lower=True, trans=1 if transposed else 0, check_finite=False
        )

    def _residual(self, solution: np.ndarray, columns: np.ndarray) -> np.ndarray:
        (symm,) = blas.get_blas_funcs(("symm",), (self._packed,))
        product = symm(1.0, self._packed, solution, side=0, lower=0)
        # symm read the factor's diagonal where the kernel's belongs.
        product += (self._diagonal - self._packed.diagonal())[:, None] * solution
        error = np.linalg.norm(product - columns, axis=0).astype(np.float64)
        norm = np.linalg.norm(columns, axis=0).astype(np.float64)
        return np.divide(error, norm, out=np.zeros_like(error), where=norm > 0)


def factorize(
    gram: AnyArray,
    *,
    ridge: float = 0.0,
    num_outputs: int | None = None,
    dtype: DTypeLike = np.float64,
) -> Factor:
    """Factorise K + ridge I once, or say why its inverse cannot be trusted.

    Args:
      gram: kernel, shape (N, N), real, symmetric; for d outputs N = n d with row i d + a for
        example i, output a. It is not changed.
      ridge: what to add to the diagonal, in the kernel's unit, >= 0. Nothing else is ever added.
      num_outputs: d, so that flat targets `(N,)` and `(k, N)` count n = N / d examples; by
        default they count one output an example.
      dtype: precision of the work, float64 (default, whatever JAX's flag) or float32.

    Returns:
      A `Factor`, which holds one array of the kernel's size in `dtype`.

    Raises:
      KernelError: not square, empty, not finite, asymmetric beyond the rounding of its own dtype,
        indefinite, or singular: the condition number of K + ridge I is above 1 / eps, eps that
        of the coarser of the gram's own dtype and `dtype`. A float32 kernel of condition 1e8
        has a float64 Cholesky factor, yet its inverse is made of float32's rounding errors.
      InputError: negative ridge, an unsuitable dtype, or num_outputs that does not divide N.

    >>> factor = factorize(np.array([[2.0, 1.0], [1.0, 2.0]]), ridge=1.0)
    >>> round(factor.complexity(np.array([1.0, -1.0])).complexity, 12)
    1.0
    >>> factorize(np.ones((2, 2), np.float32))
    Traceback (most recent call last):
    ...
    kdtheory.errors.KernelError: kernel is singular at the precision of float32 (condition inf, at
    most 8.4e+06 can be trusted; ridge 0); compute the kernel in float64 or give ridge >= 6.8e-07,
    or use complexity.pseudo_inverse
    """
    work_dtype = np.dtype(dtype)
    if work_dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise InputError(f"dtype must be float32 or float64, got {work_dtype}")
    if not (math.isfinite(ridge) and ridge >= 0):
        raise InputError(f"ridge must be finite and >= 0, got {ridge}")
    packed = checked_copy(gram, dtype=work_dtype)
    size = packed.shape[0]
    if num_outputs is not None and (num_outputs < 1 or size % num_outputs):
        raise InputError(f"num_outputs must divide the kernel's {size} rows, got {num_outputs}")
    precision = precision_of(gram, work_dtype)

    trace = float(packed.diagonal().sum(dtype=np.float64))
    np.einsum("ii->i", packed)[:] += ridge
    diagonal = packed.diagonal().copy()
    lange, potrf, pocon = lapack.get_lapack_funcs(("lange", "potrf", "pocon"), (packed,))
    norm = float(lange("1", packed))
    packed, failed = potrf(packed, lower=1, clean=0, overwrite_a=1)
    if failed:
        np.einsum("ii->i", packed)[:] = diagonal
        raise no_cholesky(packed, norm=norm, ridge=ridge, precision=precision)
    reciprocal = float(pocon(packed, norm, uplo="L")[0])
    condition = 1 / reciprocal if reciprocal > 0 else math.inf
    if condition > 1 / precision.eps:
        raise singular(condition=condition, norm=norm, size=size, ridge=ridge, precision=precision)
    return Factor(
        packed,
        diagonal,
        trace=trace,
        ridge=float(ridge),
        condition=condition,
        num_outputs=num_outputs,
    )
