"""When a bound is a theorem about the predictor at hand, and when it is only a diagnostic."""

from typing import Any, Literal, TypeAlias

import numpy as np

from kdtheory.errors import InputError

#: "certificate": the bound's premises hold. "diagnostic": the kernel was made from the sample (the
#: NTK of a network trained on these examples), so the number is a measurement and not a bound.
Validity: TypeAlias = Literal["certificate", "diagnostic"]


def validity_of(*, kernel_depends_on_sample: bool) -> Validity:
    """Return what a bound is worth for such a kernel.

    The bounds hold for all functions of a ball at once, so the targets may depend on the sample;
    the ball, and so the kernel, may not: it is the NTK at initialisation, or one that was learnt
    from other examples.

    >>> validity_of(kernel_depends_on_sample=True)
    'diagnostic'
    """
    return "diagnostic" if kernel_depends_on_sample else "certificate"


def select(terms: Any, index: int) -> Any:
    """Return a bound's terms at one point of the grid it was computed on."""
    return type(terms)(*(v[index].item() if isinstance(v, np.ndarray) else v for v in terms))


def check_delta(delta: float) -> None:
    """Raise InputError unless 0 < delta < 1."""
    if not 0 < delta < 1:
        raise InputError(f"delta must be in (0, 1), got {delta}")


def check_size(name: str, value: float) -> None:
    """Raise InputError unless the value is finite and >= 0."""
    if not (np.isfinite(value) and value >= 0):
        raise InputError(f"{name} must be finite and >= 0, got {value}")


def positive_grid(name: str, values: Any) -> np.ndarray:
    """Return one number, or a grid of them, as a float64 array of shape (m,), all above 0."""
    grid = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if grid.ndim != 1 or grid.size == 0 or not np.isfinite(grid).all() or (grid <= 0).any():
        raise InputError(f"{name} must be one or several finite numbers > 0, got {values}")
    return grid


def sample_margins(margins: Any) -> np.ndarray:
    """Return margins as a float64 array of shape (n,), n >= 1, all finite."""
    values = np.asarray(margins, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise InputError(
            f"margins must be finite, of shape (n,) with n >= 1, got shape {values.shape}"
        )
    return values
