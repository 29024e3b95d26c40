"""The methods by name, and the choice between them."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from kdtheory.errors import InputError
from kdtheory.ntk.engines import NeuralTangentsEngine, TileEngine, abstract
from kdtheory.ntk.interaction import check_no_interaction
from kdtheory.ntk.layerwise import LayerwiseEngine
from kdtheory.typing import ApplyFn, Variables

#: The methods of `kdtheory.ntk.gram`; "auto" chooses one of the others.
METHODS = ("auto", "layerwise", "neural_tangents", "neural_tangents_vector_products")

#: A foreign error is told up to this many characters.
_LONGEST = 500


@dataclasses.dataclass(frozen=True)
class _Method:
    """A bound method as a value: equal for equal owners, so that they share what is compiled."""

    owner: Any
    function: Callable[..., Any]

    def __call__(self, variables: Variables, x: Any) -> Any:
        return self.function(self.owner, variables, x)


def _comparable(apply_fn: ApplyFn) -> ApplyFn:
    """Return `apply_fn`, or an equivalent that compares by its owner's configuration."""
    if not inspect.ismethod(apply_fn) or not dataclasses.is_dataclass(apply_fn.__self__):
        return apply_fn
    try:
        hash(apply_fn.__self__)
    except TypeError:
        return apply_fn
    return _Method(apply_fn.__self__, apply_fn.__func__)


def make_engine(
    apply_fn: ApplyFn,
    variables: Variables,
    x: np.ndarray,
    *,
    outputs: str,
    method: str,
    **resources: Any,
) -> TileEngine:
    """Check the model on abstract inputs and return the engine for the method.

    `resources` are `TileEngine`'s budget and placement.

    Raises:
      InputError: logits that are not (n, d), examples that depend on each other, or a function
        whose gradient JAX cannot take.
    """
    apply_fn = _comparable(apply_fn)
    leaves, structure = jax.tree.flatten(abstract(variables))
    shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    d = _checked(apply_fn, structure, shapes, x.shape, x.dtype, _modes())
    if method in ("auto", "layerwise"):
        reason = "exact for every function" if method == "auto" else "asked for"
        try:
            return LayerwiseEngine(
                apply_fn, variables, x, d, method="layerwise", reason=reason, outputs=outputs,
                **resources,
            )  # fmt: skip
        except InputError:
            raise
        except (NotImplementedError, TypeError, ValueError) as error:
            # What JAX raises for a primitive or a loop that has no derivative.
            raise InputError(f"the model's gradient cannot be taken: {told(error)}") from error
    return NeuralTangentsEngine(
        apply_fn, variables, x, d, method=method, reason="asked for", outputs=outputs, **resources
    )


def _modes() -> Any:
    """Return JAX's settings that a trace depends on."""
    return bool(jax.config.read("jax_enable_x64"))


@functools.lru_cache(maxsize=64)
def _checked(
    apply_fn: ApplyFn, structure: Any, leaves: Any, shape: Any, dtype: Any, modes: Any
) -> int:
    """Return d, after checking that the function treats examples independently."""
    variables = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
    example = jax.ShapeDtypeStruct((2, *shape[1:]), dtype)
    returned: list[Any] = []

    def function(variables: Variables, x: Any) -> Any:
        logits = apply_fn(variables, x)
        returned[:] = [logits]
        return logits

    try:
        closed = jax.make_jaxpr(function)(variables, example)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"the model does not take inputs of shape {shape} and dtype {dtype}: {told(error)}"
        ) from error
    (logits,) = returned
    got = getattr(logits, "shape", None)
    if got is None or len(got) != 2 or got[0] != 2:
        hint = ""
        if got is None:
            got = type(logits).__name__
            hint = "; take the logits out of it, as in lambda v, x: apply_fn(v, x)[0]"
        raise InputError(
            f"apply_fn must return logits of shape (n, d); for two examples it returned {got}{hint}"
        )
    if not jax.numpy.issubdtype(logits.dtype, jax.numpy.floating):
        raise InputError(f"logits must be real floating point; apply_fn returned {logits.dtype}")
    check_no_interaction(closed.jaxpr, closed.consts, len(leaves), 2)
    return int(got[1])


def told(error: Exception) -> str:
    """Return a foreign error's message as one line, with a hint where the cause is known.

    >>> print(told(ValueError("carry must have equal types:\\n  float32 is not float64")))
    carry must have equal types: float32 is not float64; in float64 layers with a dtype of ...
    """
    lines = " ".join(str(error).split()) or type(error).__name__
    line = lines if len(lines) <= _LONGEST else f"{lines[:_LONGEST]}..."
    if "float32" in lines and "float64" in lines:
        line += (
            "; in float64 layers with a dtype of their own must have it: set the model's "
            "param_dtype and dtype to float64, or compute in float32"
        )
    elif "deterministic" in lines or ("train" in lines and "missing" in lines):
        line += "; close over it, as in lambda v, x: model.apply(v, x, deterministic=True)"
    return line
