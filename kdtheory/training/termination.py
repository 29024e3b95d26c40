"""SIGTERM: training saves its state and ends; anything else ends at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from kdtheory.errors import Terminated


class _Signal:
    def __init__(self) -> None:
        self.received = False
        self.deferred = 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.received = True
        if not self.deferred:
            raise Terminated("terminated (SIGTERM); what was stored before stays")


_signal = _Signal()


@contextlib.contextmanager
def handle_sigterm() -> Iterator[None]:
    """Turn SIGTERM into `Terminated` while the context lasts, and restore the handler after it.

    Only the main thread of a process can handle signals; in others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _signal.received = False
    before = signal.signal(signal.SIGTERM, _signal.handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _signal.received = False


@contextlib.contextmanager
def deferred_sigterm() -> Iterator[None]:
    """Let SIGTERM wait while the context lasts: `sigterm_received` then tells of it."""
    _signal.deferred += 1
    try:
        yield
    finally:
        _signal.deferred -= 1


def sigterm_received() -> bool:
    """Return whether SIGTERM has come since `handle_sigterm` began."""
    return _signal.received
