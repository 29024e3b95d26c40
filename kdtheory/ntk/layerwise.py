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

from kdtheory.ntk.contractions import Flat, Share, contract, join_narrow, squared_norms
from kdtheory.ntk.engines import WORKING_MEMORY, TileEngine, even_size
from kdtheory.ntk.interception import LayerCall, find_layers, intercept, plain
from kdtheory.ntk.layer_gradients import contributions, layer_kind
from kdtheory.ntk.memory import available
from kdtheory.ntk.tiling import padded
from kdtheory.typing import ApplyFn, Variables

#: Memory for the passes over one chunk on CPU, in bytes: what malloc gives again without a trip to
#: the operating system, whose fresh pages cost more than the passes.
_PASSES_CPU = 24 * 2**20

#: Fewer examples in a pass than this and the cost of dispatching shows.
_SMALLEST_CHUNK = 8

#: Rows of the kernel, examples times outputs, in a block: products this large run at full speed.
_BLOCK_ROWS = 256


class Compiled(NamedTuple):
    """The compiled functions of one model, and what sizes are chosen by.

    Attributes:
      features: gradients of a chunk of examples.
      join: gradients of several chunks as those of one block.
      tile: the tile of two blocks.
      norms: squared norms of a block's gradients.
      feature_bytes: memory of one example's gradients.
      pass_bytes: memory of one example's forward and backward pass, gradients included.
    """

    features: Callable[[Variables, Any], list[Share]]
    join: Callable[[list[list[Share]]], list[Share]]
    tile: Callable[[list[Share], list[Share]], jax.Array]
    norms: Callable[[list[Share]], jax.Array]
    feature_bytes: int
    pass_bytes: int


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
    """Tiles from per-layer gradients; those of a block are kept while they serve.

    The passes run on few examples at a time (`chunk`), the matrix products on more (a block).
    """

    def __init__(
        self, apply_fn: ApplyFn, variables: Variables, x: np.ndarray, d: int, **names: str
    ) -> None:
        super().__init__(d=d, **names)
        abstract = jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype), dict(variables))
        leaves, structure = jax.tree.flatten(abstract)
        self._compiled = _compiled(
            apply_fn,
            self.outputs,
            structure,
            tuple((leaf.shape, leaf.dtype) for leaf in leaves),
            (x.shape[1:], x.dtype),
            d,
        )
        self._rows = 1 if self.outputs == "sum" else d
        budget = _PASSES_CPU if jax.default_backend() == "cpu" else WORKING_MEMORY
        # A power of two, which splits evenly where a layer works on parts of a chunk.
        self._chunk = max(
            _SMALLEST_CHUNK, 1 << (budget // self._compiled.pass_bytes).bit_length() >> 1
        )
        self._memory = available() // 2

    def block_size(self, n: int, batch_size: int | None) -> int:
        """Return a size for which products are large, and gradients of two blocks fit."""
        if batch_size is not None:
            return min(n, batch_size)
        each = max(1, self._compiled.feature_bytes)
        if n * each <= self._memory:
            largest = max(1, _BLOCK_ROWS // self._rows)
        else:
            # Blocks whose gradients are computed anew for each tile: as few as fit.
            largest = max(1, self._memory // (2 * each))
        chunk = min(n, largest, self._chunk)
        return min(n, -(-even_size(n, largest) // chunk) * chunk)

    def keeps(self, count: int, size: int) -> bool:
        """Return whether the gradients of all blocks fit in memory together."""
        return count * size * self._compiled.feature_bytes <= self._memory

    def features(self, variables: Variables, x: np.ndarray, size: int) -> Any:
        """Return the per-layer gradients of the examples."""
        chunk = min(size, self._chunk)
        x = padded(x, -(-size // chunk) * chunk)
        # Calls one after another, not a compiled loop: in a loop XLA's convolutions on CPU use
        # one thread and are many times slower.
        parts = [
            self._compiled.features(variables, jax.device_put(x[start : start + chunk]))
            for start in range(0, x.shape[0], chunk)
        ]
        return parts[0] if len(parts) == 1 else self._compiled.join(parts)

    def tile(self, variables: Variables, first: Any, second: Any | None) -> Any:
        """Return the tile of kept gradients: matrix products only."""
        return self._compiled.tile(first, first if second is None else second)

    def squared_norms(self, variables: Variables, x: np.ndarray) -> np.ndarray:
        """Return the squared norms of the per-example gradients."""
        norms = self._compiled.norms(self.features(variables, x, x.shape[0]))
        return np.asarray(norms)[: x.shape[0]]


def _join(parts: list[list[Share]]) -> list[Share]:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


@functools.lru_cache(maxsize=16)
def _compiled(
    apply_fn: ApplyFn, outputs: str, structure: Any, leaves: Any, inputs: Any, d: int
) -> Compiled:
    """Return the compiled functions; kept, so that a later call need not compile again."""
    abstract = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
    shape, dtype = inputs
    layers = find_layers(apply_fn, abstract, jax.ShapeDtypeStruct((1, *shape), dtype))
    for call in layers:
        layer_kind(call)  # a BatchNorm in training mode is refused here
    function = functools.partial(layer_features, plain(apply_fn), layers, outputs=outputs)
    one = jax.eval_shape(function, abstract, jax.ShapeDtypeStruct((1, *shape), dtype))
    feature_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(one))
    output_bytes = sum(call.output.size * call.output.dtype.itemsize for call in layers)
    return Compiled(
        features=jax.jit(function),
        join=jax.jit(_join),
        tile=jax.jit(functools.partial(contract, outputs=outputs)),
        norms=jax.jit(squared_norms),
        feature_bytes=feature_bytes,
        # Inputs and outputs of the layers, and the outputs' cotangents.
        pass_bytes=feature_bytes + (2 + (1 if outputs == "sum" else d)) * output_bytes,
    )
