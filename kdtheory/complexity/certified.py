"""Certified complexity: a lower and an upper bound from products with the kernel alone."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Real

from kdtheory.complexity.lanczos import Lanczos, LanczosState
from kdtheory.complexity.nystrom import Preconditioner
from kdtheory.complexity.products import Products, column_products
from kdtheory.complexity.stacks import stack_targets
from kdtheory.errors import InputError, KernelError
from kdtheory.typing import ArrayLike

#: Why the iteration for one set of targets ended: the gap was reached; the rounding of the products
#: allows no smaller one; the number of products was used up.
Stopped: TypeAlias = Literal["gap", "rounding", "max_products"]


class CertifiedComplexity(NamedTuple):
    """lower <= Y^T (K + ridge I)^-1 Y <= upper.

    Floats for one set of targets; for a stack of k, arrays of shape (k,) and tuples of length k
    where marked (*).

    - `lower`, `upper` (*): the interval, rounding included.
    - `relative_gap` (*): (upper - lower) / lower; 0 where both are 0.
    - `products` (*): products with the kernel.
    - `rounding` (*): bound of the operator's perturbation by rounding, absolute, in the kernel's
      unit (see `certify`).
    - `stopped` (*): "gap", "rounding" or "max_products".
    - `states` : one `LanczosState` a set, to go on from (None for targets that are zero).
    - `ridge`: the ridge.
    """

    lower: float | np.ndarray
    upper: float | np.ndarray
    relative_gap: float | np.ndarray
    products: int | np.ndarray
    rounding: float | np.ndarray
    stopped: Stopped | tuple[Stopped, ...]
    states: tuple[LanczosState | None, ...]
    ridge: float

    def adjusted(
        self, *, trace: float, num_examples: int
    ) -> tuple[float | np.ndarray, float | np.ndarray]:
        """Return the interval of (1/n) sqrt(C Tr K), for the kernel's trace.

        Raises:
            InputError: a negative trace.
        """
        if not trace >= 0:
            raise InputError(f"the trace of a kernel is at least 0, got {trace}")
        lower, upper = (
            np.sqrt(c) * math.sqrt(trace) / num_examples for c in (self.lower, self.upper)
        )
        return lower, upper


def certify(
    kernel: Real[ArrayLike, "..."] | Products,
    targets: Real[ArrayLike, "..."],
    *,
    ridge: float = 0.0,
    smallest_eigenvalue: float = 0.0,
    size: int | None = None,
    relative_gap: float = 1e-3,
    max_products: int = 1000,
    batched: bool = False,
    product_error: float = 8.0,
    preconditioner: Preconditioner | None = None,
    states: Sequence[LanczosState | None] | None = None,
) -> CertifiedComplexity:
    """Bound Y^T (K + ridge I)^-1 Y from both sides by Lanczos quadrature.

    Args:
        kernel: K, positive semidefinite: an array (N, N), or a function that returns K v: for
            K = ntk.operator(...) without a ridge of its own, `lambda v: K @ v`.
        targets: (N,), (n, d), (k, n, d) or (k, N), as for `Factor.complexity`.
        ridge: added to K, >= 0.
        smallest_eigenvalue: a number known to be at or below every eigenvalue of K; 0 for any
            kernel. ridge + smallest_eigenvalue must be > 0: no number of products tells a kernel
            with a tiny eigenvalue from a singular one, so without it there is no upper bound.
            A kernel of n d > P rows is singular: it needs a ridge.
        size: N, needed where `kernel` is a function and the targets are a stack (k, N); otherwise
            read from the targets.
        relative_gap: stop at (upper - lower) <= relative_gap * lower.
        max_products: products with K for each set of targets, those of `states` included.
        batched: whether the function takes and returns (N, t): t directions in one call.
        product_error: bound of ||fl(K v) - K v|| / (||K|| ||v||), in units of eps of the product's
            dtype. 8 suits a BLAS product; a product through a deep network's JVP and VJP, or in
            TF32, has more.
        preconditioner: from `nystrom` for the same kernel and ridge: fewer products where the
            kernel has few large eigenvalues. `smallest_eigenvalue` is not used then.
        states: `states` of an earlier result for the same kernel, ridge, targets and
            preconditioner: goes on from there.

    Returns:
        A `CertifiedComplexity`.

    Raises:
        InputError: targets or states that do not fit, values out of range.
        KernelError: K + ridge I has a Rayleigh quotient below ridge + smallest_eigenvalue by more
            than rounding, or a product that is not finite.

    With A = K + ridge I, T_k its Lanczos matrix from Y and a = ridge + smallest_eigenvalue,
    ||Y||^2 e_1^T T_k^-1 e_1 is a lower bound (Gauss) and that of T_k extended so that a is one of
    its eigenvalues an upper bound (Gauss-Radau), for every k (Golub and Meurant 2010, chapters 6
    and 7). With a preconditioner P the same holds for P^-1/2 A P^-1/2 and P^-1/2 Y, whose smallest
    eigenvalue is at least `preconditioner.node`.

    Rounding. The computed T_k belongs exactly to A + E with ||E|| <= eta = 2 sqrt(k) times the
    largest error of one step: `product_error`, the step's own arithmetic, and what full
    reorthogonalisation found where symmetry says 0. Since A <= (A + E) + eta, the Gauss rule of
    T_k + eta is still a lower bound; since A >= a, A^-1 <= (1 + 2 eta / a) ((A + E) + eta)^-1, so
    the Radau rule of T_k + eta times that factor is still an upper bound, and so is the one of
    T_k - eta with the node a - 2 eta where that is positive. The smaller is taken. The storage of
    Y / ||Y|| in the products' dtype is accounted for likewise. The interval so always holds the
    value; with float32 products and a condition number above 1e7 it may be wide, and `stopped`
    is "rounding".

    >>> K, Y = np.diag([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 4.0])
    >>> result = certify(K, Y, smallest_eigenvalue=0.5, relative_gap=1e-9)
    >>> result.lower <= 7.0 <= result.upper, result.products, result.stopped
    (True, 3, 'gap')
    """
    for name, value in (("ridge", ridge), ("smallest_eigenvalue", smallest_eigenvalue)):
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{name} must be finite and >= 0, got {value}")
    node = ridge + smallest_eigenvalue
    if node <= 0:
        raise InputError(
            "an upper bound needs ridge > 0, or smallest_eigenvalue > 0 where one is known; both "
            "are 0"
        )
    if not (relative_gap > 0 and product_error > 0 and max_products >= 1):
        raise InputError(
            "relative_gap and product_error must be > 0 and max_products >= 1, got "
            f"{relative_gap}, {product_error} and {max_products}"
        )
    if preconditioner is not None and preconditioner.ridge != ridge:
        raise InputError(
            f"the preconditioner is for ridge {preconditioner.ridge:g}, got ridge {ridge:g}"
        )
    apply = column_products(kernel, batched=batched)
    if not callable(kernel):
        size = int(np.shape(kernel)[0])
    stack = stack_targets(targets, size=_size(targets, size))
    runs = _start(stack.columns, states, preconditioner)
    options = _Options(
        node=node if preconditioner is None else preconditioner.node,
        gap=relative_gap,
        limit=max_products,
        product_error=product_error,
        amplification=0.0 if preconditioner is None else preconditioner.amplification,
    )
    while live := [run for run in runs if run.stopped is None]:
        directions = np.stack([run.direction for run in live], axis=1)
        inner = directions if preconditioner is None else preconditioner.root(directions)
        images = apply(inner)
        if images.shape != inner.shape or not np.isfinite(images).all():
            raise KernelError(
                f"product of the kernel with {inner.shape} directions must be finite and of "
                f"that shape, got shape {images.shape}"
            )
        images = images + images.dtype.type(ridge) * inner.astype(images.dtype)
        if preconditioner is not None:
            images = preconditioner.root(images)
        for run, image in zip(live, images.T, strict=True):
            run.advance(image)
            run.look(options)
    return _collect(runs, stacked=stack.stacked, ridge=ridge)


class _Options(NamedTuple):
    """What all iterations share; `amplification` is 0 without a preconditioner."""

    node: float
    gap: float
    limit: int
    product_error: float
    amplification: float


class _Run:
    """The iteration for one set of targets; `start_error`, in eps, is that of the start vector."""

    def __init__(
        self, start: np.ndarray, state: LanczosState | None, *, start_error: float
    ) -> None:
        self._start = start
        self._start_error = start_error
        self.process = None if state is None else Lanczos.resume(state)
        self.lower = 0.0
        self.upper = math.inf
        self.rounding = 0.0
        self.stopped: Stopped | None = None
        self._next_look = 1
        if not start.any():
            self.upper, self.stopped = 0.0, "gap"
        elif state is not None:
            rounded = state.basis[0].astype(np.float64) * state.norm
            eps = float(np.finfo(state.basis.dtype).eps)
            if state.basis.shape[1] != start.size or not np.allclose(
                rounded, start, rtol=0, atol=4 * eps * state.norm
            ):
                raise InputError("states belong to other targets: give those they were made from")

    @property
    def direction(self) -> np.ndarray:
        if self.process is None:
            return self._start / np.linalg.norm(self._start)
        return self.process.direction

    def advance(self, image: np.ndarray) -> None:
        # The dtype of the first product decides that of the basis: more would only be storage.
        if self.process is None:
            self.process = Lanczos(self._start, dtype=image.dtype)
        self.process.advance(image)

    def look(self, options: _Options) -> None:
        """Update the interval and decide whether to stop; now and then, since it costs O(k)."""
        process = self.process
        assert process is not None
        last = process.exhausted or process.steps >= options.limit
        if process.steps < self._next_look and not last:
            return
        self._next_look = process.steps + 1 + process.steps // 20
        eps = float(np.finfo(process.direction.dtype).eps)
        # 4 eps: the recurrence's own arithmetic, and applying the preconditioner.
        magnitude = max(process.scale, options.amplification)
        step = max((options.product_error + 4) * eps * magnitude, process.stray)
        self.rounding = 2 * math.sqrt(process.steps) * step
        interval = certified_interval(
            process.diagonal, process.off_diagonal, node=options.node, rounding=self.rounding
        )
        # The start vector was stored with a relative error: so much in the norm of A^-1/2 Y.
        shift = self._start_error * eps / math.sqrt(options.node)
        scale = process.norm**2
        self.lower = scale * max(math.sqrt(interval.lower) - shift, 0.0) ** 2
        self.upper = scale * (math.sqrt(interval.upper) + shift) ** 2
        pure = interval.pure_gap
        if self.upper - self.lower <= options.gap * self.lower:
            self.stopped = "gap"
        elif process.exhausted or pure <= 0.01 * (interval.upper - interval.lower):
            self.stopped = "rounding"
        elif process.steps >= options.limit:
            self.stopped = "max_products"


class Interval(NamedTuple):
    """Quadrature bounds of e_1^T (A)^-1 e_1; `pure_gap` is Radau minus Gauss without widening."""

    lower: float
    upper: float
    pure_gap: float


def certified_interval(
    diagonal: Sequence[float], off_diagonal: Sequence[float], *, node: float, rounding: float
) -> Interval:
    """Return bounds of e_1^T A^-1 e_1 from the Lanczos matrix of A + E, ||E|| <= rounding.

    Args:
        diagonal: of T_k, length k.
        off_diagonal: length k, the last entry leading out of T_k.
        node: a > 0 at or below every eigenvalue of A.
        rounding: eta >= 0.

    Raises:
        KernelError: T_k has an eigenvalue below the node by more than the rounding.

    The rule is in `certify`.

    >>> certified_interval([2.0], [1.0], node=0.5, rounding=0.0)[:2]  # 2/3 is in it
    (0.49..., 0.87...)
    """
    gauss, radau_extra = _gauss_radau(diagonal, off_diagonal, node=node, shift=rounding)
    if math.isinf(gauss) or math.isinf(radau_extra):
        raise KernelError(
            "a Rayleigh quotient of the kernel is below ridge + smallest_eigenvalue = "
            f"{node:.3g} by more than its rounding {rounding:.3g}: the kernel is not positive "
            "semidefinite, smallest_eigenvalue is too large, or product_error too small"
        )
    upper = (1 + 2 * rounding / node) * (gauss + radau_extra)
    if node > 2 * rounding:
        other, extra = _gauss_radau(
            diagonal, off_diagonal, node=node - 2 * rounding, shift=-rounding
        )
        upper = min(upper, other + extra)
    # Sums of positive terms: a relative error of some eps each.
    slack = 8 * len(diagonal) * float(np.finfo(np.float64).eps)
    return Interval(gauss * (1 - slack), upper * (1 + slack), radau_extra)


def _gauss_radau(
    diagonal: Sequence[float], off_diagonal: Sequence[float], *, node: float, shift: float
) -> tuple[float, float]:
    """Gauss rule of T + shift, and what the Radau rule with the node has above it.

    With d_j the pivots of T + shift and delta_j those of T + shift - node, the recurrence is in
    d_j and the difference D_j = d_j - delta_j, which are sums of positive terms: p_j are the
    increments of the Gauss rule. A pivot that is not positive gives infinity.
    """
    pivot, difference = diagonal[0] + shift, node
    if pivot <= 0:
        return math.inf, math.inf
    increment = total = 1 / pivot
    for entry, coupling in zip(diagonal[1:], off_diagonal[:-1], strict=True):
        square = coupling**2
        if pivot <= difference:
            return total, math.inf
        difference = node + square * difference / (pivot * (pivot - difference))
        following = entry + shift - square / pivot
        if following <= 0:
            return math.inf, math.inf
        increment *= square / (pivot * following)
        total += increment
        pivot = following
    if pivot <= difference:
        return total, math.inf
    square = off_diagonal[-1] ** 2
    difference_next = node + square * difference / (pivot * (pivot - difference))
    return total, increment * square / (pivot * difference_next)


def _size(targets: ArrayLike, size: int | None) -> int:
    if size is not None:
        return size
    shape = np.shape(targets)
    return shape[0] if len(shape) == 1 else int(shape[-2] * shape[-1])


def _start(
    columns: np.ndarray,
    states: Sequence[LanczosState | None] | None,
    preconditioner: Preconditioner | None,
) -> list[_Run]:
    count = columns.shape[1]
    if states is None:
        states = [None] * count
    if len(states) != count:
        raise InputError(f"states must be one a set of targets: {count}, got {len(states)}")
    errors = np.ones(count)
    if preconditioner is not None:
        plain = np.linalg.norm(columns, axis=0) / math.sqrt(preconditioner.ridge)
        columns = preconditioner.root(columns)
        norms = np.linalg.norm(columns.astype(np.float64), axis=0)
        # P^-1/2 was applied with a rounding relative to its own norm, ridge^-1/2.
        errors = 1 + 4 * np.divide(plain, norms, out=np.zeros(count), where=norms > 0)
    return [
        _Run(np.array(start), state, start_error=float(error))
        for start, state, error in zip(columns.T, states, errors, strict=True)
    ]


def _collect(runs: list[_Run], *, stacked: bool, ridge: float) -> CertifiedComplexity:
    lower, upper, rounding = (
        np.array([getattr(run, name) for run in runs]) for name in ("lower", "upper", "rounding")
    )
    products = np.array([run.process.steps if run.process else 0 for run in runs])
    width = upper - lower
    gap = np.divide(width, lower, out=np.where(width > 0, math.inf, 0.0), where=lower > 0)
    stopped = tuple(run.stopped for run in runs if run.stopped is not None)
    return CertifiedComplexity(
        lower=lower if stacked else float(lower[0]),
        upper=upper if stacked else float(upper[0]),
        relative_gap=gap if stacked else float(gap[0]),
        products=products if stacked else int(products[0]),
        rounding=rounding if stacked else float(rounding[0]),
        stopped=stopped if stacked else stopped[0],
        states=tuple(run.process.state if run.process else None for run in runs),
        ridge=float(ridge),
    )
