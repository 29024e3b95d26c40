"""The errors that kdtheory raises on purpose: one clear line each, exit code 2 in a shell."""

from collections.abc import Iterable


class KdtheoryError(Exception):
    """Base of every error that is the input's fault and not the program's.

    The message is one line: what was wrong, what is allowed. The command line prints it without a
    traceback and exits with `exit_code`.
    """

    exit_code = 2


class InputError(KdtheoryError, ValueError):
    """An argument, a file or a configuration that cannot be used."""


class KernelError(KdtheoryError, ValueError):
    """A kernel matrix for which the requested value does not exist or cannot be trusted."""


class RunError(KdtheoryError, RuntimeError):
    """A run that cannot go on: a damaged store, a non-finite loss, a differing configuration."""


class Terminated(BaseException):
    """The process was told to end (SIGTERM); the message says what was saved."""

    exit_code = 143


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that is not registered, listing those that are.

    >>> str(unknown_name("model", "lenet", ["mlp", "lenet5x1"]))
    "unknown model 'lenet'; known: lenet5x1, mlp"
    """
    return InputError(f"unknown {kind} {name!r}; known: {', '.join(sorted(known))}")
