"""What is measured of one set of targets: values, each exact or an interval that holds it."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Real

from kdtheory.errors import InputError
from kdtheory.typing import ArrayLike


class Interval(NamedTuple):
    """lower <= value <= upper; both ends are the same where the value is exact (to rounding).

    It is formatted as a number where it is exact and as an interval where it is not.

    >>> f"{Interval(1.25, 1.25):.2f} {Interval(1.0, 1.5):.2f}"
    '1.25 [1.00, 1.50]'
    """

    lower: float
    upper: float

    @property
    def value(self) -> float | None:
        """The value; None where only an interval is known."""
        return self.lower if self.lower == self.upper else None

    @property
    def middle(self) -> float:
        """The middle of the interval: for choices that need one number, never for a table."""
        return self.lower if self.lower == self.upper else (self.lower + self.upper) / 2

    def over(self, divisor: float) -> "Interval":
        """Return both ends over a number >= 0; NaN over 0.

        >>> Interval(1.0, 1.5).over(2.0)
        Interval(lower=0.5, upper=0.75)
        """
        return Interval(*(end / divisor if divisor > 0 else math.nan for end in self))

    def __format__(self, spec: str) -> str:
        if self.lower == self.upper:
            return format(self.lower, spec)
        return f"[{self.lower:{spec}}, {self.upper:{spec}}]"


def exactly(value: float) -> Interval:
    """Return the interval of one value.

    >>> exactly(2.0).value
    2.0
    """
    return Interval(float(value), float(value))


class SupervisionComplexity(NamedTuple):
    """Supervision complexity of one set of targets, and what belongs to it.

    Sources: Harutyunyan et al., ICLR 2023, arXiv 2301.12245; certified intervals as in
    `kdtheory.complexity.certify`.
    """

    complexity: Interval
    """C = Y^T (K + lambda I)^-1 Y, in the squared unit of the targets over that of K."""
    adjusted: Interval
    """(1/n) sqrt(C Tr K); does not change when K is scaled."""
    rms: float
    """Root mean square of the targets' entries, those that C is of."""
    margin: float | None
    """Mean margin of the targets on the labels; None where none were given."""
    trace: float
    """Tr K over all outputs, without the ridge."""
    ridge: float
    """The ridge lambda, in the unit of K."""
    condition: float
    """Estimate of the condition number of K + lambda I; for an interval, from the largest Ritz
    value."""
    residual: float | None
    """||(K + lambda I) a - Y|| / ||Y|| of the solution; None for an interval, which needs no such
    evidence."""
    products: int = 0
    """Products with K that the interval took; 0 for an exact value."""

    @property
    def over_rms(self) -> Interval:
        """Adjusted complexity over the targets' rms: does not change when the targets are scaled.

        This orders supervisions; adjusted complexity alone orders them by scale too.
        """
        return self.adjusted.over(self.rms)

    @property
    def exact(self) -> bool:
        """Whether the value is known and not an interval."""
        return self.complexity.value is not None

    def row(self) -> dict[str, Any]:
        """Return the fields of a row.

        An interval has null for complexity, adjusted_complexity and residual, and its ends beside
        them, so that no reader of the rows takes an end or a middle for the value.

        >>> exact = SupervisionComplexity(
        ...     exactly(2.0), exactly(1.0), 1.0, 0.5, 4.0, 0.1, 12.345, 1.23e-12)
        >>> exact.row()["complexity"], exact.row()["condition"], exact.row()["residual"]
        (2.0, 12.3, 1e-12)
        >>> certified = exact._replace(complexity=Interval(1.0, 2.0), residual=None)
        >>> certified.row()["complexity"], certified.row()["complexity_upper"]
        (None, 2.0)
        """
        fields = {
            "complexity": self.complexity.value,
            "adjusted_complexity": self.adjusted.value if self.exact else None,
            "margin": self.margin,
            "trace": self.trace,
            "ridge": self.ridge,
            # An estimate, and a rounding error: their further digits are noise, and differ between
            # processes where nothing else does.
            "condition": float(f"{self.condition:.3g}") if math.isfinite(self.condition) else None,
            "residual": None if self.residual is None else float(f"{self.residual:.1g}"),
            "target_rms": self.rms,
        }
        if not self.exact:
            for name, interval in (
                ("complexity", self.complexity),
                ("adjusted_complexity", self.adjusted),
            ):
                fields |= {f"{name}_lower": interval.lower, f"{name}_upper": interval.upper}
        return fields


def stacked(targets: Sequence[Real[ArrayLike, "..."]]) -> np.ndarray:
    """Return sets of targets as one array (k, n, d).

    Raises:
      InputError: none, or sets that are not all of one shape (n, d).

    >>> stacked([np.ones((3, 2))]).shape
    (1, 3, 2)
    """
    shapes = sorted({np.shape(one) for one in targets})
    if len(shapes) != 1 or len(shapes[0]) != 2:
        got = " and ".join(map(str, shapes)) or "none"
        raise InputError(f"sets of targets must all have one shape (n, d), got {got}")
    return np.stack([np.asarray(one) for one in targets])


def root_mean_square(targets: Real[ArrayLike, "..."]) -> float:
    """Return the root of the mean of the squared entries, in float64.

    >>> root_mean_square(np.array([[1.0, -1.0], [1.0, 1.0]]))
    1.0
    """
    return float(np.sqrt(np.mean(np.square(np.asarray(targets, np.float64)))))
