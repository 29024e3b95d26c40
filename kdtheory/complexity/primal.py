"""Certified complexity from products with K alone: the primal route, by Lanczos."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from kdtheory.complexity.intervals import Bounds, Keep, OnProduct, Stopped
from kdtheory.complexity.lanczos import Lanczos, LanczosState
from kdtheory.complexity.preconditioner import Preconditioner
from kdtheory.errors import InputError, KernelError


def bound_primal(
    apply: Callable[[np.ndarray], np.ndarray],
    columns: Float[np.ndarray, "N k"],
    *,
    ridge: float,
    node: float,
    norm: Callable[[], float],
    gap: float,
    limit: int,
    product_error: float,
    preconditioner: Preconditioner | None,
    states: Sequence[LanczosState | None],
    on_product: OnProduct,
    keep: Keep,
) -> tuple[list[Bounds], tuple[LanczosState | None, ...]]:
    """Bound the complexity of all columns at once; `certify` states the rule.

    Args:
      apply: (N, t) -> K times it.
      columns: targets.
      ridge: added to K.
      node: at or below every eigenvalue of K + ridge I, > 0.
      norm: returns a number at or above ||K||; called once, where there is anything to iterate.
      gap: relative.
      limit: products for each.
      product_error: in eps.
      preconditioner: for the same ridge, or None.
      states: to go on from.
      on_product: called with (set, products, lower, upper) after each look.
      keep: called with a function that returns all states; it decides itself when to store.

    Raises:
      InputError: states of other targets.
      KernelError: products that are not finite, a Rayleigh quotient below the node.
    """
    runs = _start(columns, states, preconditioner)
    if preconditioner is not None:
        magnitude = preconditioner.amplification
    elif all(run.stopped is not None for run in runs):
        magnitude = 0.0
    else:
        magnitude = norm() + ridge
    options = _Options(
        node=node if preconditioner is None else preconditioner.node,
        gap=gap,
        limit=limit,
        product_error=product_error,
        magnitude=magnitude,
    )

    def collected() -> tuple[LanczosState | None, ...]:
        return tuple(run.process.state if run.process else None for run in runs)

    while any(run.stopped is None for run in runs):
        live = [(index, run) for index, run in enumerate(runs) if run.stopped is None]
        directions = np.stack([run.direction for _, run in live], axis=1)
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
        for (index, run), image in zip(live, images.T, strict=True):
            run.advance(image)
            if run.look(options):
                on_product(index, run.products, run.lower, run.upper)
        keep(collected)
    return [run.bounds for run in runs], collected()


class _Options(NamedTuple):
    """What all iterations share.

    `magnitude` bounds the norm of the operator that the products' rounding is relative to:
    K + ridge I, or with a preconditioner ||K + ridge I|| / ridge.
    """

    node: float
    gap: float
    limit: int
    product_error: float
    magnitude: float


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

    @property
    def products(self) -> int:
        return self.process.steps if self.process else 0

    @property
    def bounds(self) -> Bounds:
        assert self.stopped is not None
        return Bounds(self.lower, self.upper, self.rounding, self.stopped, self.products)

    def look(self, options: _Options) -> bool:
        """Update the interval and decide whether to stop; now and then, since it costs O(k).

        Returns whether it did.
        """
        process = self.process
        assert process is not None
        # The larger: a bound that chance or a caller made too small is not below what was seen.
        magnitude = max(process.scale, options.magnitude)
        exhausted = process.exhausted(magnitude)
        last = exhausted or process.steps >= options.limit
        if process.steps < self._next_look and not last:
            return False
        self._next_look = process.steps + 1 + process.steps // 20
        eps = float(np.finfo(process.direction.dtype).eps)
        # 4 eps: the recurrence's own arithmetic, and applying the preconditioner.
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
        elif exhausted or pure <= 0.01 * (interval.upper - interval.lower):
            self.stopped = "rounding"
        elif process.steps >= options.limit:
            self.stopped = "max_products"
        return True


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


def _start(
    columns: np.ndarray,
    states: Sequence[LanczosState | None],
    preconditioner: Preconditioner | None,
) -> list[_Run]:
    count = columns.shape[1]
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
