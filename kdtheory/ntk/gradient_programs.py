"""The compiled functions that one model's kernel is made with."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kdtheory.ntk.contractions import Share, contract, squared_norms
from kdtheory.ntk.engines import tree_bytes
from kdtheory.ntk.mesh import Placement
from kdtheory.ntk.per_example import features, find_gradients
from kdtheory.typing import ApplyFn, Variables


class Compiled(NamedTuple):
    """The compiled functions of one model, and what sizes are chosen by.

    Attributes:
      features: gradients of a chunk of examples.
      join: gradients of several chunks as those of one block.
      tile: the tile of two blocks.
      norms: squared norms of a block's gradients.
      example_features: shapes and dtypes of one example's gradients.
      feature_bytes: memory of one example's gradients.
      pass_bytes: memory of one example's forward and backward pass, gradients included.
    """

    features: Any
    join: Callable[[list[list[Share]]], list[Share]]
    tile: Any
    norms: Callable[[list[Share]], jax.Array]
    example_features: list[Share]
    feature_bytes: int
    pass_bytes: int


def _join(parts: list[list[Share]]) -> list[Share]:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


@functools.lru_cache(maxsize=16)
def compiled(
    apply_fn: ApplyFn,
    outputs: str,
    structure: Any,
    leaves: Any,
    inputs: Any,
    placement: Placement,
    precision: str,
    m: int,
) -> Compiled:
    """Return the compiled functions; kept, so that a later call need not compile again.

    Args:
      apply_fn: (variables, x) -> logits; equal functions share what is compiled.
      outputs: what is kept of the outputs, as for `gram`.
      structure: of the variables.
      leaves: shape and dtype of each of their leaves.
      inputs: shape and dtype of an example.
      placement: the devices.
      precision: of products, which is part of the program that is traced.
      m: how many combinations of the outputs gradients are of.

    Raises:
      InputError: as `find_gradients`.
    """
    variables = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
    shape, dtype = inputs
    found = find_gradients(apply_fn, variables, jax.ShapeDtypeStruct((1, *shape), dtype))
    result_dtype = jax.tree.leaves(variables["params"])[0].dtype

    d = found.program.shapes[found.program.logits].shape[1]

    def function(variables: Variables, x: Any, weights: Any) -> list[Share]:
        rest = {name: value for name, value in variables.items() if name != "params"}
        parts = jax.tree.leaves(variables["params"]), jax.tree.leaves(rest)
        return features(found, outputs, result_dtype, *parts, x, weights)

    one = jax.eval_shape(
        function,
        variables,
        jax.ShapeDtypeStruct((1, *shape), dtype),
        jax.ShapeDtypeStruct((m, d), result_dtype),
    )
    feature_bytes = tree_bytes(one)
    out_axis = 1 if outputs == "diagonal" else 0
    return Compiled(
        features=placement.jit(function, False, True, False),
        join=placement.jit(_join, True),
        tile=placement.jit(
            functools.partial(contract, outputs=outputs), True, False, out_axis=out_axis
        ),
        norms=jax.jit(squared_norms),
        example_features=one,
        feature_bytes=feature_bytes,
        # Inputs and outputs of the equations, and the outputs' cotangents.
        pass_bytes=feature_bytes + (2 + m) * found.output_bytes(),
    )
