"""What a field of a row may hold: types, each with its words and its test."""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

#: No measurement is as large; squares and sums of what is smaller are finite.
_LARGEST = 1e150
#: No training has as many steps or epochs; floats count up to it without a gap.
_MOST = 2**53


class Allowed(NamedTuple):
    """What a field of a row may hold, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    # Compared, because an integer may be too large to become a float.
    return _is_number(value) and -_LARGEST <= value <= _LARGEST


Text = Annotated[str, Allowed("a text", lambda v: isinstance(v, str) and bool(v))]
Flag = Annotated[bool, Allowed("true or false", lambda v: isinstance(v, bool))]
Count = Annotated[
    int,
    Allowed(
        "an integer from 0 to 2^53",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= _MOST,
    ),
]
Some = Annotated[
    int,
    Allowed(
        "an integer from 1 to 2^53",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and 1 <= v <= _MOST,
    ),
]
Position = Annotated[
    float, Allowed("a number from 0 to 2^53", lambda v: _is_number(v) and 0 <= v <= _MOST)
]
Finite = Annotated[float, Allowed("a finite number, at most 1e150", _is_finite)]
Positive = Annotated[
    float, Allowed("a number above 0, at most 1e150", lambda v: _is_finite(v) and v > 0)
]
Number = Annotated[
    float | None,
    Allowed("a finite number or null, at most 1e150", lambda v: v is None or _is_finite(v)),
]
#: A singular kernel has an infinite condition number, and rows keep it.
AnyNumber = Annotated[
    float | None, Allowed("a number or null", lambda v: v is None or _is_number(v))
]
Rate = Annotated[
    float | None,
    Allowed("a number from 0 to 1 or null", lambda v: v is None or (_is_finite(v) and 0 <= v <= 1)),
]
Steps = Annotated[
    list[int],
    Allowed("a list of integers", lambda v: isinstance(v, list) and all(map(_is_number, v))),
]
