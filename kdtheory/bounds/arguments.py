"""Checks of the arguments that the bounds share, and the grids that they are computed on."""

from typing import Any, NamedTuple, TypeVar

import numpy as np

from kdtheory.errors import InputError

Terms = TypeVar("Terms", bound=tuple)


class Arguments(NamedTuple):
    """Checked arguments of a bound on a grid of m values."""

    margins: np.ndarray
    """(n,), float64, finite."""
    grid: np.ndarray
    """(m,), float64, all above 0."""
    share: float
    """Delta / m, what each value of the grid may fail with."""

    @property
    def size(self) -> int:
        """Number of examples n."""
        return self.margins.size


def check_arguments(
    margins: Any, *, squared_norm: float, delta: float, name: str, grid: Any
) -> Arguments:
    """Return the arguments that every bound on a sample takes, checked.

    Raises:
      InputError: margins that are not finite or not of shape (n,), a negative norm, delta outside
        (0, 1), a grid (called `name`) with a value that is not above 0.

    >>> arguments = check_arguments(
    ...     [1.0, 2.0], squared_norm=1.0, delta=0.1, name="gamma", grid=[0.5, 1.0])
    >>> arguments.size, arguments.share
    (2, 0.05)
    """
    values = sample_margins(margins)
    points = positive_grid(name, grid)
    check_size("squared_norm", squared_norm)
    check_delta(delta)
    return Arguments(margins=values, grid=points, share=delta / points.size)


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


def class_gaps(logits: Any, labels: Any) -> np.ndarray:
    """Return f_y - f_a for every other class a, in the order of the classes, shape (n, d - 1).

    Args:
      logits: (n, d), d >= 2; (n,) and (n, 1) stand for the pair (0, f).
      labels: class indices, shape (n,).

    Raises:
      InputError: another shape, logits that are not finite, labels out of range.

    >>> class_gaps(np.array([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]]), np.array([0, 2]))
    array([[ 1.,  2.],
           [-2., -1.]])
    >>> class_gaps(np.array([2.0, -3.0]), np.array([1, 1])).ravel()
    array([ 2., -3.])
    """
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1):
        values = np.stack([np.zeros(values.size), values.reshape(-1)], axis=1)
    if values.ndim != 2 or values.shape[0] == 0 or not np.isfinite(values).all():
        raise InputError(
            f"logits must be finite, of shape (n, d) or (n,), n >= 1, got shape {np.shape(logits)}"
        )
    n, d = values.shape
    index = np.asarray(labels)
    if (
        index.shape != (n,)
        or index.dtype.kind not in "iu"
        or not ((index >= 0) & (index < d)).all()
    ):
        raise InputError(f"labels must be class indices 0..{d - 1} of shape ({n},)")
    others = np.arange(d)[None, :] != index[:, None]
    return values[np.arange(n), index][:, None] - values[others].reshape(n, d - 1)


def select(terms: Terms, index: int) -> Terms:
    """Return a bound's terms at one point of the grid it was computed on."""
    chosen = (v[index].item() if isinstance(v, np.ndarray) else v for v in terms)
    return type(terms)(*chosen)


def select_value(terms: Terms, name: str, value: float) -> Terms:
    """Return a bound's terms at one value of its grid `name`.

    Raises:
      InputError: a value that is not on the grid, for which nothing was paid.
    """
    grid = np.atleast_1d(getattr(terms, name))
    (found,) = np.nonzero(np.isclose(grid, value, rtol=1e-12, atol=0))
    if not found.size:
        raise InputError(
            f"{name} {value:g} is not on the grid that was paid for: "
            f"{', '.join(f'{point:.6g}' for point in grid)}"
        )
    return select(terms, int(found[0])) if np.ndim(getattr(terms, name)) else terms
