"""What was measured of a network's state in one file, so that a killed call goes on."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdtheory.archives import read_archive, write_archive
from kdtheory.digests import Owner
from kdtheory.errors import RunError
from kdtheory.measure.values import Interval, SupervisionComplexity

_INTERVALS = ("complexity", "adjusted")
_NUMBERS = ("rms", "margin", "trace", "ridge", "condition", "residual", "products")


def keep(path: Path, owner: Owner, found: Sequence[SupervisionComplexity]) -> None:
    """Write what was measured, whole or not at all.

    Raises:
      RunError: the file cannot be written.
    """
    arrays = {name: np.array([getattr(one, name) for one in found]) for name in _INTERVALS}
    for name in _NUMBERS:
        values = [getattr(one, name) for one in found]
        arrays[name] = np.array([math.nan if v is None else v for v in values], np.float64)
    write_archive(path, arrays, owner)


def kept(path: Path, owner: Owner, count: int) -> list[SupervisionComplexity] | None:
    """Return what an earlier call measured of the same; None where there is nothing of it.

    Raises:
      RunError: the file cannot be opened.

    Warns:
      UserWarning: the file is damaged; it is measured again.

    >>> import tempfile
    >>> one = SupervisionComplexity(Interval(1, 2), Interval(3, 4), 1.0, None, 2.0, 0.1, 5.0, None)
    >>> path, owner = Path(tempfile.mkdtemp()) / "a.npz", Owner(names={"step": 4})
    >>> keep(path, owner, [one])
    >>> kept(path, owner, 1) == [one], kept(path.with_name("b.npz"), owner, 1)
    (True, None)
    """
    try:
        arrays, wrong = read_archive(path, owner)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    shapes = dict.fromkeys(_INTERVALS, (count, 2)) | dict.fromkeys(_NUMBERS, (count,))
    if wrong is not None or {name: array.shape for name, array in arrays.items()} != shapes:
        reason = "other values than were asked for" if wrong is None else wrong.reason
        warnings.warn(f"{path} is damaged ({reason}); it is measured again", stacklevel=2)
        return None

    def interval(name: str, place: int) -> Interval:
        lower, upper = arrays[name][place].tolist()
        return Interval(lower, upper)

    def number(name: str, place: int) -> float:
        return float(arrays[name][place])

    def perhaps(name: str, place: int) -> float | None:
        value = number(name, place)
        return None if math.isnan(value) else value

    return [
        SupervisionComplexity(
            complexity=interval("complexity", place),
            adjusted=interval("adjusted", place),
            rms=number("rms", place),
            margin=perhaps("margin", place),
            trace=number("trace", place),
            ridge=number("ridge", place),
            condition=number("condition", place),
            residual=perhaps("residual", place),
            products=int(number("products", place)),
        )
        for place in range(count)
    ]
