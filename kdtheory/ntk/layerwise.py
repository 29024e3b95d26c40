"""Tiles of the kernel layer by layer: one backward pass an output, no Jacobian of the model.

The model runs once on a block of examples with a zero added to each layer's output; the derivative
of the logits by that zero is what each layer's parameters see. One ordinary batched backward pass
for each output gives it for all layers and examples at once, because examples do not interact.
What is left is local to a layer (`layer_gradients`), and sums up to the kernel (`contractions`).
"""

import collections
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.ntk.contractions import Flat, Share, contract, join_narrow
from kdtheory.ntk.engines import WORKING_MEMORY, TileEngine, even_size, parameter_count
from kdtheory.ntk.interception import LayerCall, find_layers, intercept, plain
from kdtheory.ntk.layer_gradients import contributions, layer_kind
from kdtheory.ntk.tiling import padded
from kdtheory.typing import ApplyFn, Variables


class Compiled(NamedTuple):
    """The two compiled functions of one model, and what sizes are chosen by."""

    features: Callable[[Variables, Any], list[Share]]
    tile: Callable[[list[Share], list[Share]], jax.Array]
    layers: list[LayerCall]


def layer_features(
    apply_fn: ApplyFn, layers: list[LayerCall], variables: Variables, x: Any, *, outputs: str
) -> list[Share]:
    """Return every layer's share of the gradients of a block of examples.

    Args:
      apply_fn: (variables, x) -> logits of shape (b, d).
      layers: as `find_layers` returned them for this model.
      variables: the model's variables.
      x: (b, ...).
      outputs: "sum" takes the one output sum / sqrt(d); all others take the d outputs.
    """
    b = x.shape[0]
    zeros = [jnp.zeros((b, *call.output.shape), call.output.dtype) for call in layers]

    def forward(shifts: list[jax.Array]) -> Any:
        with intercept(lambda call, index: call.output + shifts[index]) as seen:
            logits = apply_fn(variables, x)
        return logits, [(call.variables, call.arrays) for call in seen]

    logits, pull, captured = jax.vjp(forward, zeros, has_aux=True)
    d = logits.shape[1]
    if outputs == "sum":
        weights = jnp.full((1, d), 1 / np.sqrt(d), logits.dtype)
    else:
        weights = jnp.eye(d, dtype=logits.dtype)
    directions = jnp.broadcast_to(weights[:, None], (weights.shape[0], b, d))
    if weights.shape[0] == 1:
        cotangents = [value[None] for value in pull(directions[0])[0]]
    else:
        cotangents = jax.vmap(lambda direction: pull(direction)[0])(directions)

    uses = collections.Counter(leaf for call in layers for leaf in call.leaves.values())
    sums: dict[tuple[int, ...], Share] = {}
    for call, (own, arrays), cotangent in zip(layers, captured, cotangents, strict=True):
        shared = any(uses[leaf] > 1 for leaf in call.leaves.values())
        for leaves, share in contributions(call, own, arrays, cotangent, shared=shared):
            before = sums.get(leaves)
            if isinstance(before, Flat) and isinstance(share, Flat):
                # A parameter used by several calls: its gradient is the sum over them.
                sums[leaves] = Flat(before.gradients + share.gradients)
            else:
                sums[leaves] = share
    return join_narrow(list(sums.values()))


class LayerwiseEngine(TileEngine):
    """Tiles from per-layer gradients; features of a block are kept while they serve."""

    def __init__(
        self, apply_fn: ApplyFn, variables: Variables, x: np.ndarray, d: int, **names: str
    ) -> None:
        super().__init__(d=d, **names)
        signature = jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype), dict(variables))
        leaves, structure = jax.tree.flatten(signature)
        self._compiled = _compiled(
            apply_fn,
            self.outputs,
            structure,
            tuple((leaf.shape, leaf.dtype) for leaf in leaves),
            (x.shape[1:], x.dtype),
        )
        self._row_bytes = _row_bytes(
            self._compiled.layers, parameter_count(variables), 1 if self.outputs == "sum" else d
        )

    def block_size(self, n: int, batch_size: int | None) -> int:
        """Return a size for which the passes over one block fit in memory."""
        if batch_size is not None:
            return min(n, batch_size)
        return even_size(n, max(1, min(128, WORKING_MEMORY // self._row_bytes)))

    def keeps(self, count: int, size: int) -> bool:
        """Return whether the gradients of all blocks fit in the working memory."""
        return True

    def features(self, variables: Variables, x: np.ndarray, size: int) -> Any:
        """Return the per-layer gradients of the examples."""
        return self._compiled.features(variables, jax.device_put(padded(x, size)))

    def tile(self, variables: Variables, first: Any, second: Any | None) -> Any:
        """Return the tile of kept gradients: matrix products only."""
        return self._compiled.tile(first, first if second is None else second)


def _row_bytes(layers: list[LayerCall], parameters: int, d: int) -> int:
    """Return the memory of one example's passes: inputs, cotangents and gradients."""
    outputs = sum(int(np.prod(call.output.shape)) for call in layers)
    itemsize = max(call.output.dtype.itemsize for call in layers)
    return itemsize * ((1 + d) * outputs + d * parameters)


@functools.lru_cache(maxsize=16)
def _compiled(
    apply_fn: ApplyFn, outputs: str, structure: Any, leaves: Any, inputs: Any
) -> Compiled:
    """Return the compiled functions; kept, so that a later call need not compile again."""
    abstract = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
    shape, dtype = inputs
    layers = find_layers(apply_fn, abstract, jax.ShapeDtypeStruct((1, *shape), dtype))
    for call in layers:
        layer_kind(call)  # a BatchNorm in training mode is refused here
    function = functools.partial(layer_features, plain(apply_fn), layers, outputs=outputs)
    return Compiled(
        features=jax.jit(function),
        tile=jax.jit(functools.partial(contract, outputs=outputs)),
        layers=layers,
    )
