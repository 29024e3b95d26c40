"""A prepared set's features.json, read before TFDS is: TFDS imports the classes that it names."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kdtheory.datasets.records import damaged
from kdtheory.errors import InputError
from kdtheory.files import parse_json, read_json

#: Classes that TFDS itself has.
_OWN = re.compile(r"tensorflow_datasets\.core\.features\.\w+(\.\w+)*")

#: Where a class is named: in the protocol's two spellings, and in files of early versions.
_CLASS_KEYS = ("pythonClassName", "python_class_name", "type")


def check_features(path: Path) -> None:
    """Raise InputError unless all classes that a features.json names are TFDS's own.

    >>> check_features(Path("/nonexistent/features.json"))
    Traceback (most recent call last):
    kdtheory.errors.InputError: cannot read /nonexistent: ...
    """
    try:
        named = set(_class_names(read_json(path)))
    except (OSError, ValueError) as error:
        raise damaged(str(path.parent), error) from error
    foreign = sorted(name for name in named if not _OWN.fullmatch(name))
    if foreign:
        raise InputError(
            f"{path} names the class {foreign[0]!r}, which would be imported and run; only TFDS's "
            "own features (tensorflow_datasets.core.features) are read"
        )


def _class_names(content: Any) -> Iterator[str]:
    if isinstance(content, list):
        for inner in content:
            yield from _class_names(inner)
    elif isinstance(content, dict):
        for key, value in content.items():
            if isinstance(value, str) and key in _CLASS_KEYS:
                yield value
            elif isinstance(value, str) and key == "json":  # JSON within JSON
                yield from _class_names(parse_json(value))
            else:
                yield from _class_names(value)
