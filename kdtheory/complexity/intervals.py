"""Certified intervals: what `certify` returns, and what its routes report while they work."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from kdtheory.complexity.golub_kahan import GolubKahanState
from kdtheory.complexity.lanczos import LanczosState
from kdtheory.errors import InputError

#: Why the iteration for one set of targets ended: the gap was reached; the rounding of the products
#: allows no smaller one; the number of products was used up.
Stopped: TypeAlias = Literal["gap", "rounding", "max_products"]

#: How an interval was made; see `certify`.
Route: TypeAlias = Literal["primal", "dual", "mixed"]

#: What an iteration leaves to go on from; None for targets that are zero or not begun.
State: TypeAlias = LanczosState | GolubKahanState | None

#: (set of targets, its products, lower, upper): the bounds while they narrow. On the route "dual"
#: they are the quadrature rules, not widened by rounding: only the result is certified there.
OnProduct: TypeAlias = Callable[[int, int, float, float], None]


#: Called after each product with a function that returns all states; stores them at times.
Keep: TypeAlias = Callable[[Callable[[], Sequence[State]]], None]


class Bounds(NamedTuple):
    """The interval for one set of targets; fields as in `CertifiedComplexity`."""

    lower: float
    upper: float
    rounding: float
    stopped: Stopped
    products: int


class CertifiedComplexity(NamedTuple):
    """lower <= Y^T (K + ridge I)^-1 Y <= upper.

    Floats for one set of targets; for a stack of k, arrays of shape (k,) and tuples of length k
    where marked (*).
    """

    lower: float | np.ndarray
    """(*) the interval, rounding included."""
    upper: float | np.ndarray
    """(*) the interval, rounding included."""
    relative_gap: float | np.ndarray
    """(*) (upper - lower) / lower; 0 where both are 0."""
    products: int | np.ndarray
    """(*) products with the kernel; on the route "dual" passes over the data, without the two of
    each certificate; on the route "mixed" float64 products.
    """
    rounding: float | np.ndarray
    """(*) bound of the operator's perturbation by rounding, absolute, in the kernel's unit (see
    `certify`).
    """
    stopped: Stopped | tuple[Stopped, ...]
    """(*) "gap", "rounding" or "max_products"."""
    states: tuple[State, ...]
    """One state a set, to go on from (None for targets that are zero, and on the route "mixed")."""
    ridge: float
    """The ridge."""
    route: Route
    """"primal", "dual" or "mixed"."""

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


def collect(
    bounds: Sequence[Bounds],
    states: tuple[State, ...],
    *,
    stacked: bool,
    ridge: float,
    route: Route,
) -> CertifiedComplexity:
    """Return one result out of those for each set of targets.

    >>> collect([Bounds(1.0, 1.5, 0.0, "gap", 3)], (None,), stacked=False, ridge=0.1,
    ...         route="mixed").relative_gap
    0.5
    """
    lower, upper, rounding = (
        np.array([getattr(one, name) for one in bounds]) for name in ("lower", "upper", "rounding")
    )
    products = np.array([one.products for one in bounds])
    width = upper - lower
    gap = np.divide(width, lower, out=np.where(width > 0, math.inf, 0.0), where=lower > 0)
    return CertifiedComplexity(
        lower=lower if stacked else float(lower[0]),
        upper=upper if stacked else float(upper[0]),
        relative_gap=gap if stacked else float(gap[0]),
        products=products if stacked else int(products[0]),
        rounding=rounding if stacked else float(rounding[0]),
        stopped=tuple(one.stopped for one in bounds) if stacked else bounds[0].stopped,
        states=states,
        ridge=float(ridge),
        route=route,
    )
