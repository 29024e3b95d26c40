"""What a kernel will be computed from and what it will take, before it is computed."""

import time
from collections import Counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.errors import InputError, unknown_name
from kdtheory.memory import format_bytes, parse_bytes
from kdtheory.ntk.differentiated import ParamsFilter, differentiated, path_name
from kdtheory.ntk.engines import OUTPUTS
from kdtheory.ntk.gradient_forms import reason
from kdtheory.ntk.inputs import as_inputs, cast, settings
from kdtheory.ntk.layerwise import LayerwiseEngine
from kdtheory.ntk.methods import make_engine
from kdtheory.ntk.per_example import find_gradients
from kdtheory.typing import ApplyFn, ArrayLike

#: Side of the product that the machine's rate is measured with.
_SIDE = 1024


class EquationCost(NamedTuple):
    """One equation where parameters meet data.

    Attributes:
      where: the model's own name of the place; empty if it gives none.
      primitive: what is computed.
      parameters: the paths of what goes in.
      entries: how many numbers those are.
      form: how the gradient is computed, and why, where the way is the general one.
      summed: whether other equations use the same entries, so that gradients are summed first.
    """

    where: str
    primitive: str
    parameters: tuple[str, ...]
    entries: int
    form: str
    summed: bool


class Explanation(NamedTuple):
    """What `kdtheory.ntk.gram` will do; prints as a table.

    Attributes:
      equations: where parameters meet data, in order.
      parameters: P.
      num_outputs: d.
      examples: n.
      feature_bytes: memory of one example's gradients, as they are kept.
      block: examples in a block.
      matrix_bytes: memory of the result.
      memory_bytes: memory beside it: the gradients that stay, and a pass.
      seconds: at the measured rate of a large matrix product: what it takes at best.
    """

    equations: list[EquationCost]
    parameters: int
    num_outputs: int
    examples: int
    feature_bytes: int
    block: int
    matrix_bytes: int
    memory_bytes: int
    seconds: float

    def __str__(self) -> str:
        rows = [("equation", "parameters", "entries", "gradient")]
        for one, times in Counter(self.equations).items():
            place = f"{one.primitive} in {one.where}" if one.where else one.primitive
            form = f"{one.form}, summed over uses" if one.summed else one.form
            place += f", {times} times" if times > 1 else ""
            rows.append((place, ", ".join(one.parameters), f"{one.entries:,}", form))
        widths = [max(len(row[k]) for row in rows) for k in range(3)]
        lines = [
            f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}"
            for row in rows
        ]
        lines.append(
            f"n = {self.examples:,}, d = {self.num_outputs}, P = {self.parameters:,}: the matrix "
            f"takes {format_bytes(self.matrix_bytes)}, the computation about "
            f"{format_bytes(self.memory_bytes)} beside it (blocks of {self.block} examples, "
            f"{format_bytes(self.feature_bytes)} each), at best {self.seconds:.2g} s"
        )
        return "\n".join(lines)


def explain(
    apply_fn: ApplyFn,
    variables: Any,
    x: ArrayLike,
    *,
    outputs: str = "full",
    params: ParamsFilter = "params",
    dtype: Any = None,
    memory_budget: str | int | None = None,
) -> Explanation:
    """Return what `gram(apply_fn, variables, x)` will compute, and what it will take.

    The function is traced and not run; a matrix product is timed for the machine's rate.

    Args:
      apply_fn: (variables, x) -> logits of shape (n, d).
      variables: any pytree of arrays.
      x: inputs of shape (n, ...).
      outputs: as for `gram`.
      params: what is differentiated, as for `gram`.
      dtype: as for `gram`.
      memory_budget: as for `gram`.

    Raises:
      InputError: as `gram`.

    >>> found = explain(lambda v, x: x @ v["params"]["w"], {"params": {"w": np.eye(2)}}, np.eye(2))
    >>> [(one.primitive, one.parameters, one.form) for one in found.equations]
    [('dot_general', ('w',), 'outer product')]
    """
    if outputs not in OUTPUTS:
        raise unknown_name("outputs", outputs, OUTPUTS)
    apply_fn, variables = differentiated(apply_fn, variables, params)
    with settings(dtype, variables) as result_dtype:
        variables = cast(variables, result_dtype)
        x = as_inputs("x", x, result_dtype)
        budget = None if memory_budget is None else parse_bytes(memory_budget)
        engine = make_engine(
            apply_fn, variables, x, outputs=outputs, method="layerwise", budget=budget
        )
        if not isinstance(engine, LayerwiseEngine):
            raise InputError("only method layerwise can be explained")
        found = find_gradients(apply_fn, variables, x)
        paths = [
            path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(variables["params"])
        ]
        uses = Counter(key for keys in found.uses for key in keys)
        equations = []
        for meeting, keys in zip(found.meetings, found.uses, strict=True):
            sources = [found.sources[port.value] for port in meeting.ports]
            leaves = sorted({leaf for source in sources for leaf in source.leaves})
            entries = sum(found.program.shapes[port.value].size for port in meeting.ports)
            equations.append(
                EquationCost(
                    where=meeting.equation.where,
                    primitive=meeting.equation.name,
                    parameters=tuple(paths[leaf] for leaf in leaves),
                    entries=entries,
                    form=reason(found.program, meeting),
                    summed=not set(leaves) <= found.once or any(uses[key] > 1 for key in keys),
                )
            )
        n = len(x)
        plan = engine.plan(variables, n, n, None)
        flops = engine.flops(variables, n)
        feature_bytes = engine.feature_bytes
        resident = min(-(-n // plan.rows), plan.resident + 1)
        return Explanation(
            equations=equations,
            parameters=sum(int(np.size(leaf)) for leaf in jax.tree.leaves(variables["params"])),
            num_outputs=engine.d,
            examples=n,
            feature_bytes=feature_bytes,
            block=plan.rows,
            matrix_bytes=int(np.prod(engine.shape(n, n))) * result_dtype.itemsize,
            memory_bytes=resident * plan.rows * feature_bytes + plan.chunk * engine.pass_bytes,
            seconds=flops / _rate(result_dtype),
        )


def _rate(dtype: Any) -> float:
    """Return the FLOP/s of a large product, the best of three."""
    product = jax.jit(lambda a: a @ a)
    square = jnp.ones((_SIDE, _SIDE), dtype)
    jax.block_until_ready(product(square))
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        jax.block_until_ready(product(square))
        best = min(best, time.perf_counter() - began)
    return 2 * _SIDE**3 / best
