"""Seals: the digests of what is stored, and whose it is, so that nothing else is taken for it."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kdtheory.files import parse_json


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose something stored is, as its seal names it.

    >>> Owner(names={"run": "s77b66b4", "seed": 0}).at(step=4).names
    {'run': 's77b66b4', 'seed': 0, 'step': 4}
    """

    names: Mapping[str, str | int]
    """Such as the run, the seed and the network."""
    sealed: bool = True
    """Whether everything of it has a seal: what versions before seals stored has none."""

    def at(self, **names: str | int) -> "Owner":
        """Return the owner of a part, such as of a step."""
        return dataclasses.replace(self, names={**self.names, **names})


class Unsound(NamedTuple):
    """Why something stored is not used."""

    reason: str
    foreign: bool = False
    """Whether it is whole, but another's."""
    unsealed: bool = False
    """Whether it has no digest, so that nobody knows."""


class Checked(NamedTuple):
    """What is left of arrays that were stored."""

    sound: tuple[str, ...]
    """Names of those that are as they were stored for their owner."""
    wrong: Unsound | None
    """What is wrong with the others, if anything is."""


def seal(content: Mapping[str, np.ndarray], owner: Owner) -> str:
    """Return the seal of arrays: one line of JSON, with whose they are and a digest of each.

    A digest is SHA-256 of the owner and of the array's name, shape, dtype and bytes.

    >>> seal({"a": np.zeros(2)}, Owner(names={"step": 4}))
    '{"of": {"step": 4}, "sha256": {"a": "..."}}'
    """
    names = dict(owner.names)
    digests = {name: _digest(name, array, names) for name, array in content.items()}
    return json.dumps({"of": names, "sha256": digests})


def checked(content: Mapping[str, np.ndarray], sealed: str | bytes | None, owner: Owner) -> Checked:
    """Return which arrays are what was stored for an owner, and what is wrong with the others.

    The seal may name more than the owner does, and that is not compared.

    >>> owner, stored = Owner(names={"step": 4}), {"a": np.zeros(2)}
    >>> checked(stored, seal(stored, owner), owner)
    Checked(sound=('a',), wrong=None)
    >>> checked({"a": np.ones(2)}, seal(stored, owner), owner).wrong.reason
    'a has changed since it was stored'
    >>> checked(stored, seal(stored, owner), Owner(names={"step": 8})).wrong.reason
    'it is of step 4, not 8'
    """
    if sealed is None:
        if owner.sealed:
            return Checked((), Unsound("it has no digest", unsealed=True))
        return Checked(tuple(content), None)
    try:
        read = parse_json(sealed)
        names, digests = dict(read["of"]), dict(read["sha256"])
    except (ValueError, TypeError, KeyError):
        return Checked((), Unsound("its digest cannot be read"))
    sound = tuple(k for k, array in content.items() if digests.get(k) == _digest(k, array, names))
    differing = sorted(digests.keys() ^ content.keys())
    wrong = None
    if changed := sorted(content.keys() & digests.keys() - set(sound)):
        wrong = Unsound(f"{changed[0]} has changed since it was stored")
    elif differing:
        what = "is missing" if differing[0] in digests else "was added"
        wrong = Unsound(f"{differing[0]} {what}")
    for name, wanted in owner.names.items():
        if names.get(name) != wanted and wrong is None:
            wrong = Unsound(f"it is of {name} {names.get(name)}, not {wanted}", foreign=True)
    # Damage may be in the names themselves, and then no array agrees with its digest.
    same = all(names.get(name) == wanted for name, wanted in owner.names.items())
    return Checked(sound if same else (), wrong)


def _digest(name: str, array: np.ndarray, owner: Mapping[str, Any]) -> str:
    described = json.dumps([owner, name, list(array.shape), str(array.dtype)], sort_keys=True)
    digest = hashlib.sha256(described.encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
