"""What a mistyped option of a subcommand was probably meant to be."""

import contextlib
import io
import os
import re
from collections.abc import Sequence
from typing import Any

import tyro

from kdtheory.errors import did_you_mean


def options_of(command: Any) -> list[str]:
    """Return a subcommand's options as its --help names them.

    Args:
      command: its dataclass.

    >>> from kdtheory.commands.data import DataShow
    >>> options_of(DataShow)
    ['--data-dir', '--image-size', '--picture']
    """
    text = io.StringIO()
    columns = os.environ.get("COLUMNS")
    # So wide that no option is broken over two lines, and not so wide that groups of options stand
    # side by side.
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            tyro.cli(command, args=["--help"])
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    # Lines that begin with options, and no sentence that mentions one.
    heads = re.findall(r"^│?\s*(-.*)", text.getvalue(), flags=re.MULTILINE)
    found = dict.fromkeys(re.findall(r"--[a-z][\w.-]*", " ".join(heads)))
    return [name for name in found if name != "--help"]


def spelt_out(arguments: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return arguments in which each option of a group may have been named by its last word alone.

    "--learning-rate 0.1" stands for every known option that ends in ".learning-rate". What is
    meant for all goes first, so that an option written in full has its own value.

    >>> known = ["--a.rate", "--b.rate", "--epochs"]
    >>> spelt_out(["--b.rate", "2", "--rate", "1"], known)
    ['--a.rate', '1', '--b.rate', '1', '--b.rate', '2']
    """
    for_all: list[str] = []
    rest: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        full = [other for other in known if other.endswith("." + name.removeprefix("--"))]
        if not name.startswith("--") or name in known or not full:
            rest.append(word)
            continue
        values = [value] if equals else []
        while not equals and words and not words[0].startswith("--"):
            values.append(words.pop(0))
        for other in full:
            for_all += [other, *values]
    return for_all + rest


def with_squares(arguments: Sequence[str]) -> list[str]:
    """Return arguments in which an image size of one number is a square's.

    >>> with_squares(["--image-size", "16", "--seeds", "1"])
    ['--image-size', '16', '16', '--seeds', '1']
    >>> with_squares(["--image-size=16"]), with_squares(["--image-size", "16", "8"])
    (['--image-size', '16', '16'], ['--image-size', '16', '8'])
    """
    words = [
        part
        for word in arguments
        for part in (word.split("=") if word.startswith("--image-size=") else [word])
    ]
    return [
        part
        for place, word in enumerate(words)
        for part in [word] * (1 + _is_one_side(words, place))
    ]


def _is_one_side(words: Sequence[str], place: int) -> bool:
    """Return whether a word is all that stands behind --image-size, and a number."""
    alone = words[place + 1 : place + 2]
    behind = place > 0 and words[place - 1] == "--image-size" and words[place].isdecimal()
    return behind and (not alone or alone[0].startswith("-"))


def suggestion(arguments: Sequence[str], known: Sequence[str]) -> str | None:
    """Return one line about the first option that is not known; None if all of them are.

    >>> suggestion(["--seeds", "1", "--epoch", "3"], ["--seeds", "--epochs"])
    'unknown option --epoch; did you mean --epochs?'
    >>> suggestion(["--magic"], ["--seeds", "--epochs"])
    'unknown option --magic'
    """
    # By its whole name, or by the last word of an option of a group.
    short: dict[str, list[str]] = {}
    for option in known:
        for name in {option.removeprefix("--"), option.rpartition(".")[2].removeprefix("--")}:
            short.setdefault(name, []).append(option)
    for word in arguments:
        option = word.partition("=")[0].replace("_", "-")
        if re.match(r"--[a-z]", option) and option not in (*known, "--help"):
            near = did_you_mean(option.removeprefix("--"), short)
            meant = dict.fromkeys(full for name in near for full in short[name])
            return f"unknown option {option}" + (
                f"; did you mean {' or '.join(meant)}?" if meant else ""
            )
    return None
