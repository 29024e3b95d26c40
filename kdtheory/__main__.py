"""The command `kdtheory`, also as `python -m kdtheory`: Ctrl-C ends it in one line, always."""

import signal
import sys
import threading
from typing import Any


def main() -> None:
    """Run the command line."""
    sys.unraisablehook = interrupted_again
    try:
        from kdtheory.cli import main as command
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        raise SystemExit(130) from None
    command()


def interrupted_again(lost: Any) -> None:
    """Take the place of `sys.unraisablehook`: a Ctrl-C that was lost is given once more.

    One that arrives in a destructor, or in what JAX does at each garbage collection, cannot be
    raised there: Python would show a traceback, and the command would work on.
    """
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    # As a signal of the main thread: it wakes what waits there, which `interrupt_main` does not.
    main_thread = threading.main_thread().ident
    again = threading.Timer(0.05, signal.pthread_kill, (main_thread, signal.SIGINT))
    again.daemon = True
    again.start()


if __name__ == "__main__":
    main()
