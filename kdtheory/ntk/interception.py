"""Finding the layers of a Flax model, and whether all its parameters enter through them.

A layer here is a call of a module that owns parameters. The kernel can be computed layer by layer
if every parameter reaches the logits through such calls alone, with each example on its own along
axis 0. `find_layers` checks both on abstract values, before anything is computed.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.extend.core
import numpy as np

from kdtheory.errors import InputError
from kdtheory.typing import ApplyFn, Variables

_JITTED = type(jax.jit(lambda: None))


class NotLayerwiseError(InputError):
    """The model does not lend itself to layer by layer computation; the message says why."""


@dataclasses.dataclass(frozen=True)
class LayerCall:
    """One call of one layer, as the model makes it.

    Attributes:
      module: the layer, unbound.
      name: its path in the model, for messages.
      method: the name of the method called.
      leaves: parameter path inside the layer -> index among the leaves of variables["params"].
      arguments: (args, kwargs) with arrays replaced by None.
      dtypes: dtype of each array among the arguments.
      batched: for each of those arrays, whether its axis 0 is the examples.
      output: shape and dtype of the output, axis 0 left out.
    """

    module: nn.Module
    name: str
    method: str
    leaves: dict[tuple[str, ...], int]
    arguments: Any
    dtypes: tuple[Any, ...]
    batched: tuple[bool, ...]
    output: jax.ShapeDtypeStruct

    def with_arrays(self, arrays: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return (args, kwargs) with the arrays in their places."""
        rest = iter(arrays)
        leaves, structure = jax.tree.flatten(self.arguments, is_leaf=lambda leaf: leaf is None)
        return jax.tree.unflatten(
            structure, [next(rest) if leaf is _ARRAY else leaf for leaf in leaves]
        )


class _Array:
    """Stands where an array was among a call's arguments."""

    def __repr__(self) -> str:
        return "<array>"


_ARRAY = _Array()


@dataclasses.dataclass
class Seen:
    """What an intercepted call showed: the bound module's state, its arguments and its output."""

    module: nn.Module
    name: str
    method: str
    variables: Mapping[str, Any]
    arrays: list[Any]
    arguments: Any
    output: Any


@contextlib.contextmanager
def intercept(replace: Callable[[Seen, int], Any]) -> Iterator[list[Seen]]:
    """Intercept the calls of layers that own parameters; the innermost other calls go unseen.

    Args:
      replace: (call, its index) -> what the model shall go on with in place of the output.

    Yields:
      The list that calls are appended to in the order the model makes them.
    """
    seen: list[Seen] = []
    inside = False

    def interceptor(
        next_fun: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        nonlocal inside
        module = context.module
        if inside or context.method_name == "setup" or module.scope is None:
            return next_fun(*args, **kwargs)
        params = module.variables.get("params", {})
        if not isinstance(params, Mapping) or all(isinstance(v, Mapping) for v in params.values()):
            return next_fun(*args, **kwargs)
        inside = True
        try:
            output = next_fun(*args, **kwargs)
        finally:
            inside = False
        unbound, variables = module.unbind()
        leaves, structure = jax.tree.flatten((args, kwargs))
        is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
        seen.append(
            Seen(
                module=unbound,
                name="/".join(module.path) or type(module).__name__,
                method=context.method_name,
                variables=variables,
                arrays=[leaf for leaf, array in zip(leaves, is_array, strict=True) if array],
                arguments=jax.tree.unflatten(
                    structure,
                    [_ARRAY if a else leaf for leaf, a in zip(leaves, is_array, strict=True)],
                ),
                output=output,
            )
        )
        return replace(seen[-1], len(seen) - 1)

    with nn.intercept_methods(interceptor):
        yield seen


def plain(apply_fn: ApplyFn) -> ApplyFn:
    """Return the function under `jax.jit`: values inside a jitted one cannot be captured."""
    return getattr(apply_fn, "__wrapped__", apply_fn) if type(apply_fn) is _JITTED else apply_fn


def find_layers(apply_fn: ApplyFn, variables: Variables, x: Any) -> list[LayerCall]:
    """Return the model's layer calls, in order, after checking that they tell the whole story.

    Args:
      apply_fn: (variables, x) -> logits.
      variables: the model's variables; only shapes and dtypes matter.
      x: inputs (n, ...); only shape and dtype matter.

    Raises:
      NotLayerwiseError: a parameter enters outside layer calls, a layer runs inside a lifted
        transformation, or a layer's output is not an array with the examples along axis 0.
    """
    apply_fn = plain(apply_fn)
    leaf_paths = [
        "/".join(str(getattr(key, "key", key)) for key in path)
        for path, _ in jax.tree_util.tree_leaves_with_path(variables["params"])
    ]
    try:
        calls = _observe(apply_fn, variables, _examples(x, 2), leaf_paths)
        others = _observe(apply_fn, variables, _examples(x, 3), leaf_paths)
    except (jax.errors.UnexpectedTracerError, flax.errors.JaxTransformError) as error:
        raise NotLayerwiseError(
            "a layer runs inside a transformation (jax.jit, jax.checkpoint, ...) that hides its "
            "values"
        ) from error
    if len(calls) != len(others):
        raise NotLayerwiseError("the model calls its layers differently for 2 and 3 examples")
    return [
        _merge(first, second, leaves)
        for (first, leaves), (second, _) in zip(calls, others, strict=True)
    ]


def _examples(x: Any, n: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((n, *x.shape[1:]), x.dtype)


def _observe(
    apply_fn: ApplyFn, variables: Variables, x: jax.ShapeDtypeStruct, leaf_paths: list[str]
) -> list[tuple[Seen, dict[tuple[str, ...], int]]]:
    """Run the model abstractly; check that logits depend on parameters through layers only."""
    params, rest = variables["params"], {k: v for k, v in variables.items() if k != "params"}
    leaves, structure = jax.tree.flatten(params)
    found: list[tuple[Seen, dict[tuple[str, ...], int]]] = []

    def whole(leaves: list[Any], rest: Any, x: Any) -> Any:
        with intercept(lambda call, _: call.output) as seen:
            apply_fn({**rest, "params": jax.tree.unflatten(structure, leaves)}, x)
        return [call.output for call in seen]

    outputs = jax.eval_shape(whole, leaves, rest, x)

    def cut(leaves: list[Any], outputs: list[Any], rest: Any, x: Any) -> Any:
        """The model with each layer's output replaced by an independent value."""
        places = {id(leaf): index for index, leaf in enumerate(leaves)}
        found.clear()
        with intercept(lambda _, index: outputs[index]) as seen:
            logits = apply_fn({**rest, "params": jax.tree.unflatten(structure, leaves)}, x)
        for call in seen:
            own = {}
            for path, leaf in jax.tree_util.tree_leaves_with_path(dict(call.variables["params"])):
                if id(leaf) not in places:
                    raise NotLayerwiseError(
                        f"layer {call.name} does not take its parameters as they are in variables: "
                        "apply_fn or a transformation (nn.scan, nn.remat, ...) changes them"
                    )
                own[tuple(str(getattr(key, "key", key)) for key in path)] = places[id(leaf)]
            found.append((call, own))
        return logits, [call.arrays for call in seen]

    closed = jax.make_jaxpr(cut)(leaves, outputs, rest, x)
    reached = _dependence(closed.jaxpr, len(leaves))
    if reached:
        names = ", ".join(leaf_paths[index] for index in sorted(reached))
        raise NotLayerwiseError(f"outside layer calls, or hidden by a transformation: {names}")
    for (call, _), output in zip(found, outputs, strict=True):
        # The tracers of `cut` are dead by now; only shapes are used from here on.
        call.output = output
        call.arrays = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in call.arrays]
    return found


def _dependence(jaxpr: Any, count: int) -> set[int]:
    """Return which of the first `count` inputs any output may depend on (never too few)."""
    sources: dict[Any, set[int]] = {v: {i} for i, v in enumerate(jaxpr.invars[:count])}

    def of(values: Sequence[Any]) -> set[int]:
        found: set[int] = set()
        for value in values:
            if not isinstance(value, jax.extend.core.Literal):
                found |= sources.get(value, set())
        return found

    for equation in jaxpr.eqns:
        inputs = of(equation.invars)
        for output in equation.outvars:
            sources[output] = inputs
    return of(jaxpr.outvars)


def _merge(first: Seen, second: Seen, leaves: dict[tuple[str, ...], int]) -> LayerCall:
    """Tell the examples' axis by comparing a call for two examples with one for three."""
    output = first.output
    if not isinstance(output, jax.ShapeDtypeStruct):
        raise NotLayerwiseError(f"layer {first.name} does not return one array")
    expected = (3, *output.shape[1:])
    if output.shape[:1] != (2,) or second.output.shape != expected:
        raise NotLayerwiseError(
            f"layer {first.name} does not keep the examples along axis 0 of its output"
        )
    batched = []
    for two, three in zip(first.arrays, second.arrays, strict=True):
        on_axis_0 = two.shape[:1] == (2,) and three.shape == (3, *two.shape[1:])
        if not on_axis_0 and two.shape != three.shape:
            raise NotLayerwiseError(
                f"layer {first.name} does not keep the examples along axis 0 of its input"
            )
        batched.append(on_axis_0)
    return LayerCall(
        module=first.module,
        name=first.name,
        method=first.method,
        leaves=leaves,
        arguments=first.arguments,
        dtypes=tuple(array.dtype for array in first.arrays),
        batched=tuple(batched),
        output=jax.ShapeDtypeStruct(output.shape[1:], output.dtype),
    )
