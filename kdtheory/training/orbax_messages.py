"""What orbax prints of a failure that it also raises: hundreds of lines around our one."""

import logging
import sys
from typing import Any


def leave_out_orbax_messages() -> None:
    """Leave out what orbax and its threads print; for a program that tells what they raise.

    >>> leave_out_orbax_messages()
    """
    for name in ("absl", "asyncio"):
        logging.getLogger(name).addFilter(_not_of_orbax)
    if sys.unraisablehook is not _unraisable:
        _others.append(sys.unraisablehook)
        sys.unraisablehook = _unraisable


#: The hook that was there before ours.
_others: list[Any] = []


def _not_of_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in record.pathname and "orbax" not in record.getMessage()


def _unraisable(given: Any) -> None:
    # A read that failed is not waited for to its end, and orbax has closed its loop by then.
    if "Event loop is closed" not in str(given.exc_value):
        _others[-1](given)
