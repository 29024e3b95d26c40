"""The methods by name, and the choice between them."""

import dataclasses
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import numpy as np

from kdtheory.errors import InputError
from kdtheory.ntk.engines import NeuralTangentsEngine, TileEngine
from kdtheory.ntk.interaction import no_batch_statistics
from kdtheory.ntk.interception import NotLayerwiseError, plain
from kdtheory.ntk.layerwise import LayerwiseEngine
from kdtheory.typing import ApplyFn, Variables

#: The methods of `kdtheory.ntk.gram`; "auto" chooses one of the others.
METHODS = ("auto", "layerwise", "neural_tangents", "neural_tangents_vector_products")


@dataclasses.dataclass(frozen=True)
class _Apply:
    """`module.apply` as a value: equal for equal modules, so that they share what is compiled."""

    module: nn.Module

    def __call__(self, variables: Variables, x: Any) -> Any:
        return self.module.apply(variables, x)


def _comparable(apply_fn: ApplyFn) -> ApplyFn:
    """Return `apply_fn`, or an equivalent that compares by the module's configuration."""
    module = getattr(apply_fn, "__self__", None)
    if not isinstance(module, nn.Module) or apply_fn != module.apply:
        return apply_fn
    try:
        hash(module)
    except TypeError:
        return apply_fn
    return _Apply(module)


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
      InputError: logits that are not (n, d), a BatchNorm layer in training mode, or a model that
        the method does not cover.
    """
    apply_fn = _comparable(apply_fn)
    d = _output_count(apply_fn, variables, x)
    if method in ("auto", "layerwise"):
        reason = "every parameter enters through a layer" if method == "auto" else "asked for"
        try:
            return LayerwiseEngine(
                apply_fn, variables, x, d, method="layerwise", reason=reason, outputs=outputs,
                **resources,
            )  # fmt: skip
        except NotLayerwiseError as error:
            if method == "layerwise":
                raise
            method, reason = "neural_tangents", str(error)
    else:
        reason = "asked for"
    return NeuralTangentsEngine(
        apply_fn, variables, x, d, method=method, reason=reason, outputs=outputs, **resources
    )


def _output_count(apply_fn: ApplyFn, variables: Variables, x: np.ndarray) -> int:
    """Return d; abstract evaluation only."""
    example = jax.ShapeDtypeStruct((2, *x.shape[1:]), x.dtype)
    try:
        with no_batch_statistics():
            # A new function, for JAX may have kept a trace of this one, which shows no layers.
            bare = plain(apply_fn)
            logits = jax.eval_shape(lambda *args: bare(*args), variables, example)
    except InputError:
        raise
    except (TypeError, ValueError, flax.errors.FlaxError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise InputError(
            f"the model does not take inputs of shape {x.shape} and dtype {x.dtype}: {lines[0]}"
        ) from error
    if not hasattr(logits, "shape") or len(logits.shape) != 2 or logits.shape[0] != 2:
        got = getattr(logits, "shape", type(logits).__name__)
        raise InputError(
            f"apply_fn must return logits of shape (n, d); for two examples it returned {got}"
        )
    return int(logits.shape[1])
