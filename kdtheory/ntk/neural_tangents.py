"""neural-tangents on today's JAX: the only file that knows how that library is made to import.

The last release, 0.6.5 (December 2023), takes names from JAX that JAX has since moved or removed.
`load` lends JAX those names while neural-tangents imports, and takes them back afterwards, so that
nothing a user can see of JAX is changed. Structured derivatives lean on removed internals and stay
unavailable; asking for them is an error, never a silent change of method.
"""

import contextlib
import functools
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import jax
import jax.core
import jax.extend.core
import jax.extend.linear_util  # neural-tangents takes it as an attribute of jax.extend
from jax.interpreters import ad

from kdtheory.errors import InputError

#: The implementations of `neural_tangents.empirical_ntk_fn` that run on today's JAX.
IMPLEMENTATIONS: dict[str, str] = {
    "jacobian_contraction": "JACOBIAN_CONTRACTION",
    "ntk_vector_products": "NTK_VECTOR_PRODUCTS",
}

_CORE_NAMES = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")


def _safe_map(function: Any, *sequences: Any) -> list[Any]:
    return [function(*items) for items in zip(*sequences, strict=True)]


def _safe_zip(*sequences: Any) -> list[tuple[Any, ...]]:
    return list(zip(*sequences, strict=True))


@contextlib.contextmanager
def _borrowed_names() -> Iterator[None]:
    """Lend JAX the names that neural-tangents imports, for the time of the import only."""
    attributes: list[tuple[Any, str, Any]] = [
        (jax.core, name, getattr(jax.extend.core, name)) for name in _CORE_NAMES
    ]
    attributes.append((jax.random, "KeyArray", jax.Array))
    # Only a dictionary key of rules that are never looked up: any primitive will do.
    attributes.append((ad, "zeros_like_p", jax.extend.core.Primitive("zeros_like")))

    jax_util = types.ModuleType("jax.util")
    jax_util.safe_map = _safe_map  # type: ignore[attr-defined]
    jax_util.safe_zip = _safe_zip  # type: ignore[attr-defined]
    modules = {
        "jax.util": jax_util,
        # Imports TensorFlow for many seconds; nothing in it is used here.
        "neural_tangents.experimental": types.ModuleType("neural_tangents.experimental"),
    }

    lent_attributes = [(owner, name) for owner, name, _ in attributes if not hasattr(owner, name)]
    lent_modules = [name for name in modules if name not in sys.modules]
    for owner, name, value in attributes:
        if (owner, name) in lent_attributes:
            setattr(owner, name, value)
    for name in lent_modules:
        sys.modules[name] = modules[name]
    try:
        yield
    finally:
        for owner, name in lent_attributes:
            delattr(owner, name)
        for name in lent_modules:
            sys.modules.pop(name, None)


@functools.cache
def load() -> types.ModuleType:
    """Import neural-tangents and return its module.

    Returns:
      The module `neural_tangents`, version 0.6.5. `neural_tangents.experimental` is empty.

    Raises:
      InputError: neural-tangents cannot be imported on this JAX; the message names both versions.

    >>> load().__version__
    '0.6.5'
    """
    if "neural_tangents" in sys.modules:
        return sys.modules["neural_tangents"]
    try:
        with _borrowed_names():
            return importlib.import_module("neural_tangents")
    except (ImportError, AttributeError) as error:
        # A half-imported package would break the next try in a stranger way.
        for name in [name for name in sys.modules if name.partition(".")[0] == "neural_tangents"]:
            del sys.modules[name]
        raise InputError(
            f"neural-tangents does not import on JAX {jax.__version__} ({error}); "
            'allowed: neural-tangents 0.6.5 with JAX 0.10 to 0.12, or method="layerwise"'
        ) from error


def implementation(name: str) -> Any:
    """Return neural-tangents' enumeration value for an implementation's name.

    Args:
      name: "jacobian_contraction" (forms the Jacobians and multiplies them) or
        "ntk_vector_products" (one column of the kernel at a time, little memory).

    Raises:
      InputError: any other name, "structured_derivatives" and "auto" among them: those two do not
        run on today's JAX.

    >>> implementation("jacobian_contraction").name
    'JACOBIAN_CONTRACTION'
    """
    key = name.lower()
    if key in ("structured_derivatives", "auto"):
        raise InputError(
            f"neural-tangents' implementation {name!r} needs JAX internals that were removed in "
            f"JAX 0.4.30; allowed: {', '.join(sorted(IMPLEMENTATIONS))}"
        )
    if key not in IMPLEMENTATIONS:
        raise InputError(
            f"unknown neural-tangents implementation {name!r}; "
            f"allowed: {', '.join(sorted(IMPLEMENTATIONS))}"
        )
    return load().NtkImplementation[IMPLEMENTATIONS[key]]
