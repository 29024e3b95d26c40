"""Which of JAX's pseudorandom generators a run draws from: a run goes on with its own alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from kdtheory.errors import InputError

#: JAX's own choice since 0.5, and that of every run that says nothing of it.
USUAL = {"impl": "threefry2x32", "partitionable": True}

_VARIABLES = {"impl": "JAX_DEFAULT_PRNG_IMPL", "partitionable": "JAX_THREEFRY_PARTITIONABLE"}


def _setting(name: str) -> Any:
    # By name: the types of JAX 0.10 don't list its flags as attributes.
    return getattr(jax.config, _VARIABLES[name].lower())


def prng() -> dict[str, Any]:
    """Return the generator that keys of this process are of, as JSON's types.

    >>> prng()
    {'impl': 'threefry2x32', 'partitionable': True}
    """
    return {
        "impl": str(_setting("impl")),
        "partitionable": bool(_setting("partitionable")),
    }


def check_prng(sessions: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Raise InputError if a run was made with another generator: it would go on with other numbers.

    Args:
      sessions: those of the run's provenance.
      out: its folder, for the message.
    """
    if not sessions:
        return
    stored, here = sessions[-1].get("prng", USUAL), prng()
    differing = [name for name in here if stored.get(name) != here[name]]
    if differing:
        which = "; ".join(
            f"{name} {stored.get(name)} there, {here[name]} here: set {_VARIABLES[name]}="
            f"{str(stored.get(name)).lower()}"
            for name in differing
        )
        raise InputError(
            f"{out} holds a run of another random number generator of JAX ({which}), choose "
            "another --out, or --fresh to delete it"
        )
