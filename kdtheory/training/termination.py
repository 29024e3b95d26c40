"""SIGTERM and Ctrl-C: training saves its state and ends; anything else ends at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from kdtheory.errors import Terminated


class _Signal:
    def __init__(self) -> None:
        self.received = False
        self.number: int = signal.SIGTERM
        self.deferred = 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        impatient = self.received and number == signal.SIGINT
        self.received, self.number = True, number
        if impatient or not self.deferred:
            raise self.order("what was stored before stays")

    def order(self, outcome: str) -> BaseException:
        """Return the exception that ends the program."""
        if self.number == signal.SIGINT:
            return KeyboardInterrupt(outcome)
        return Terminated(f"terminated (SIGTERM); {outcome}")


_signal = _Signal()


@contextlib.contextmanager
def handle_sigterm() -> Iterator[None]:
    """Turn SIGTERM into `Terminated` while the context lasts, and restore the handlers after it.

    Ctrl-C stays a KeyboardInterrupt; it too waits until a training has saved its state (a second
    one does not). Only the main thread of a process can handle signals; in others this does
    nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _signal.received = False
    handled = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        handled.append(signal.SIGINT)
    before = {number: signal.signal(number, _signal.handle) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _signal.received = False


@contextlib.contextmanager
def deferred_sigterm() -> Iterator[None]:
    """Let the signals wait while the context lasts: `sigterm_received` then tells of them."""
    _signal.deferred += 1
    try:
        yield
    finally:
        _signal.deferred -= 1


def sigterm_received() -> bool:
    """Return whether SIGTERM or Ctrl-C has come since `handle_sigterm` began."""
    return _signal.received


def end_order(outcome: str) -> BaseException:
    """Return the exception for the signal that has come: `Terminated` or KeyboardInterrupt."""
    return _signal.order(outcome)
