"""The errors that kdtheory raises on purpose: one clear line each, exit code 2 in a shell."""

import difflib
import re
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


def did_you_mean(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that a name was probably meant to be, the nearest first; at most 3.

    Case, and "-" or " " in the place of "_", do not matter.

    >>> did_you_mean("ResNet-20", ["resnet20", "resnet56", "mlp"])
    ['resnet20']
    >>> did_you_mean("epoch", ["epochs", "arms"]), did_you_mean("lion", ["adam", "sgd"])
    (['epochs'], [])
    """

    def plain(text: str) -> str:
        return re.sub(r"[-_ ]", "", text).lower()

    wanted = plain(name)

    def likeness(other: str) -> float:
        ratio = difflib.SequenceMatcher(None, wanted, plain(other)).ratio()
        begins = len(wanted) >= 3 and plain(other).startswith(wanted)
        return max(ratio, 0.75) if begins else ratio

    scored = sorted(((likeness(other), other) for other in set(known)), key=lambda s: (-s[0], s[1]))
    return [other for score, other in scored if score >= max(0.7, scored[0][0] - 0.1)][:3]


#: How a name that a file of the user's registers becomes known.
OWN_CODE = "your own: --import FILE.py"


def unknown_name(
    kind: str, name: str, known: Iterable[str], *, registered: bool = False
) -> InputError:
    """Return the error for a name that is not known: what it may be meant to be, and all.

    Args:
      kind: of what, in words.
      name: the unknown one.
      known: all others.
      registered: whether users register names of this kind: then the error says how.

    >>> str(unknown_name("model", "lennet5x1", ["mlp", "lenet5x1"]))
    "unknown model 'lennet5x1'; did you mean 'lenet5x1'? known: lenet5x1, mlp"
    >>> str(unknown_name("model", "other", ["mlp", "lenet5x1"]))
    "unknown model 'other'; known: lenet5x1, mlp"
    """
    known = sorted(known)
    own = f"; {OWN_CODE}" if registered else ""
    listed = ", ".join(known)
    return InputError(f"unknown {kind} {name!r}; {asked(name, known)}known: {listed}{own}")


def asked(name: str, known: Iterable[str]) -> str:
    """Return "did you mean 'X'? " for a misspelt name, or "" where nothing known is like it.

    >>> asked("epoch", ["epochs"]), asked("lion", ["adam"])
    ("did you mean 'epochs'? ", '')
    """
    near = did_you_mean(name, known)
    return f"did you mean {' or '.join(map(repr, near))}? " if near else ""
