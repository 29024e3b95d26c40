"""Per-example gradients of all parameters, as shares that sum up to the kernel.

The function runs once on a block of examples with a zero added to the output of every equation in
which a parameter meets data; the derivative of the logits by that zero is what the equation's
parameters see. One ordinary batched backward pass for each output of the function gives it for all
equations and examples at once, because examples do not interact. What is left is local to an
equation (`gradient_forms`), and sums up to the kernel (`contractions`).
"""

import dataclasses
import functools
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kdtheory.errors import InputError
from kdtheory.ntk.contractions import Flat, Positions, RankOne, Share, join_narrow
from kdtheory.ntk.gradient_forms import (
    ENTRYWISE,
    Convolution,
    Products,
    conv_gradients,
    convolution,
    form_of,
    general,
    products,
    real_outputs,
    restore_conv,
)
from kdtheory.ntk.meetings import (
    Meeting,
    Port,
    Sources,
    find_meetings,
    find_sources,
    used_once,
)
from kdtheory.ntk.program import Kind, Program, trace
from kdtheory.typing import ApplyFn

#: An entry of a product of positions with positions, in multiplications: it is read and summed.
_POSITION_PAIR = 8


@dataclasses.dataclass(frozen=True)
class Gradients:
    """The gradients of one function: what `features` computes, found once.

    Attributes:
      program: the function.
      meetings: where its parameters meet data.
      sources: of each port.
      uses: for each meeting and each of its ports, a key; equal keys are summed as they are.
      once: places of leaves whose gradients need no further sum.
    """

    program: Program
    meetings: list[Meeting]
    sources: dict[int, Sources]
    uses: list[list[Hashable]]
    once: frozenset[int]

    def output_bytes(self) -> int:
        """Return the memory of the meetings' outputs of one example.

        Those of sums count as none: their cotangents are those of what is added.
        """
        shapes = self.program.shapes
        return sum(
            shapes[number].size * shapes[number].dtype.itemsize
            for meeting in self.meetings
            if meeting.equation.name not in ("add", "add_any", "sub")
            for number in meeting.equation.outputs
        )


def find_gradients(apply_fn: ApplyFn, variables: Any, x: Any) -> Gradients:
    """Trace a function for one example and find where its parameters meet data.

    Args:
      apply_fn: (variables, x) -> logits of shape (n, d).
      variables: {"params": ..., ...}; only shapes and dtypes matter.
      x: inputs (n, ...); only shape and dtype matter.

    Raises:
      InputError: the logits depend on no parameter, or not for one example as for several.
    """
    leaves, structure = jax.tree.flatten(variables["params"])
    rest = {name: value for name, value in variables.items() if name != "params"}
    others, other_structure = jax.tree.flatten(rest)

    def function(leaves: list[Any], others: list[Any], x: Any) -> Any:
        given = jax.tree.unflatten(other_structure, others)
        return apply_fn({**given, "params": jax.tree.unflatten(structure, leaves)}, x)

    program = trace(function, leaves, others, jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype))
    shape = program.shapes[program.logits].shape
    if len(shape) != 2 or shape[0] != 1:
        raise InputError(
            f"apply_fn must return logits of shape (n, d); for one example it returned {shape}"
        )
    meetings = find_meetings(program)
    if not meetings:
        raise InputError("the logits depend on no parameter: the kernel is zero")
    sources = find_sources(program, meetings)
    uses: list[list[Hashable]] = [
        [_use(program, meeting, port, sources[port.value]) for port in meeting.ports]
        for meeting in meetings
    ]
    distinct = {
        key: sources[port.value]
        for meeting, keys in zip(meetings, uses, strict=True)
        for port, key in zip(meeting.ports, keys, strict=True)
    }
    return Gradients(program, meetings, sources, uses, used_once(program, list(distinct.values())))


def _use(program: Program, meeting: Meeting, port: Port, source: Sources) -> Hashable:
    """Return a key that products have in common if their positions can be put together."""
    if form_of(program, meeting) != "dot" or source.entries is None:
        return meeting.equation.outputs, port.place
    (lhs, rhs), (lhs_groups, rhs_groups) = meeting.equation.settings["dimension_numbers"]
    axes = (rhs, rhs_groups) if port.place == 1 else (lhs, lhs_groups)
    return "dot", source.name(), axes


def features(
    found: Gradients,
    outputs: str,
    dtype: Any,
    leaves: list[Any],
    others: list[Any],
    x: Any,
    weights: Any,
) -> list[Share]:
    """Return the shares of a block of examples.

    Args:
      found: as `find_gradients` returned it.
      outputs: what products the shares are for, as for `gram`.
      dtype: that products are formed in.
      leaves: the parameters.
      others: the other variables' leaves.
      x: (b, ...).
      weights: (m, d): gradients are of these m combinations of the d outputs.
    """
    program = found.program
    values = dict(program.constants)
    values.update(zip(program.leaves, leaves, strict=True))
    values.update(zip(program.others, others, strict=True))
    program.run(values, {Kind.CONSTANT, Kind.PARAMETER})
    cotangents, captured = _backward(found, weights, values, x)

    shares: list[Share] = []
    together: dict[Hashable, list[Products]] = {}
    summed: dict[int, jax.Array] = {}
    for meeting, keys, data, cotangent in zip(
        found.meetings, found.uses, captured, cotangents, strict=True
    ):
        form = form_of(program, meeting)
        if form == "dot":
            (one,) = (value.astype(dtype) for value in data.values())
            made = products(program, meeting, one, cotangent[0].astype(dtype))
            together.setdefault(keys[0], []).append(made)
            continue
        once = set(found.sources[meeting.ports[0].value].leaves) <= found.once
        if form == "conv":
            (one,) = (value.astype(dtype) for value in data.values())
            conv = convolution(program, meeting, one, cotangent[0].astype(dtype))
            if once:
                shares.append(_conv_share(conv, outputs))
            else:
                _add(summed, meeting.ports[0].value, restore_conv(conv, conv_gradients(conv)))
            continue
        wide = dtype if meeting.equation.name in ENTRYWISE else None
        parts = general(program, meeting, values, data, cotangent, wide)
        for port, part in zip(meeting.ports, parts, strict=True):
            if set(found.sources[port.value].leaves) <= found.once:
                shares.append(Flat(part.astype(dtype).reshape(*part.shape[:2], -1)))
            else:
                _add(summed, port.value, part.astype(dtype))
    ports = {
        keys[0]: meeting.ports[0] for meeting, keys in zip(found.meetings, found.uses, strict=True)
    }
    for key, several in together.items():
        made = _joined(several)
        if set(found.sources[ports[key].value].leaves) <= found.once:
            shares.append(_product_share(made, outputs))
        else:
            gradient = jnp.einsum("bgti,bdgto->bdgio", made.inputs, made.cotangents)
            _add(summed, ports[key].value, made.order.restore(gradient))
    if summed:
        shares += _pulled_back(found, values, summed, dtype)
    return join_narrow(shares)


def _backward(
    found: Gradients, weights: jax.Array, values: dict[int, Any], x: jax.Array
) -> tuple[list[list[jax.Array]], list[dict[int, jax.Array]]]:
    """Return, for each meeting, cotangents (m, b, ...) of its outputs, and its data (b, ...)."""
    program, b = found.program, x.shape[0]
    at = {meeting.equation.outputs: index for index, meeting in enumerate(found.meetings)}
    real = [real_outputs(program, meeting) for meeting in found.meetings]
    zeros = [
        [
            jnp.zeros((b, *like.shape), like.dtype)
            for like in (program.shapes[meeting.equation.outputs[place]] for place in places)
        ]
        for meeting, places in zip(found.meetings, real, strict=True)
    ]

    def one(x: jax.Array, shifts: list[list[jax.Array]]) -> Any:
        local = {**values, program.example: x[None]}
        captured: list[dict[int, jax.Array]] = [{} for _ in found.meetings]
        for equation in program.equations:
            if not equation.outputs or program.kinds[equation.outputs[0]] is not Kind.DATA:
                continue
            results = list(equation.run(*(local[number] for number in equation.inputs)))
            index = at.get(equation.outputs)
            if index is not None:
                captured[index] = {
                    number: local[number]
                    for number in equation.inputs
                    if program.kinds[number] is Kind.DATA
                }
                for place, shift in zip(real[index], shifts[index], strict=True):
                    results[place] = results[place] + shift
            local.update(zip(equation.outputs, results, strict=True))
        return local[program.logits][0], captured

    def forward(shifts: list[list[jax.Array]]) -> Any:
        return jax.vmap(one)(x, shifts)

    logits, pull, captured = jax.vjp(forward, zeros, has_aux=True)
    m, d = weights.shape
    directions = jnp.broadcast_to(weights[:, None].astype(logits.dtype), (m, b, d))
    if m == 1:
        return jax.tree.map(lambda value: value[None], pull(directions[0])[0]), captured
    return jax.vmap(lambda direction: pull(direction)[0])(directions), captured


def _add(summed: dict[int, jax.Array], value: int, gradient: jax.Array) -> None:
    summed[value] = summed[value] + gradient if value in summed else gradient


def _joined(several: Sequence[Products]) -> Products:
    """Return the sum of products: their positions, one after another."""
    if len(several) == 1:
        return several[0]
    return several[0]._replace(
        inputs=jnp.concatenate([one.inputs for one in several], axis=2),
        cotangents=jnp.concatenate([one.cotangents for one in several], axis=3),
    )


def _product_share(made: Products, outputs: str) -> Share:
    b, d, groups, positions, q = made.cotangents.shape
    if groups == 1 and positions == 1:
        return RankOne(made.inputs[:, 0, 0], made.cotangents[:, :, 0, 0])
    if groups == 1 and _unformed(outputs, d, positions, made.inputs.shape[-1], q):
        return Positions(made.inputs[:, 0], made.cotangents[:, :, 0])
    gradient = jnp.einsum("bgti,bdgto->bdgoi", made.inputs, made.cotangents)
    return Flat(gradient.reshape(b, d, -1))


def _conv_share(conv: Convolution, outputs: str) -> Share:
    b, d, positions, groups, q = conv.cotangents.shape
    if groups == 1 and positions == 1:
        return RankOne(conv.patches()[:, 0], conv.cotangents[:, :, 0, 0])
    p = conv.order.lengths[-2] * int(np.prod(conv.window.kernel))
    if groups == 1 and _unformed(outputs, d, positions, p, q):
        return Positions(conv.patches(), conv.cotangents[:, :, :, 0])
    return Flat(conv_gradients(conv).reshape(b, d, -1))


def _unformed(outputs: str, d: int, positions: int, p: int, q: int) -> bool:
    """Return whether products of positions cost less than those of gradients.

    Multiplications for a pair of examples: sum_st <inputs_s, inputs_t> <cotangents_s,
    cotangents_t> against d (or, with all pairs of outputs, d^2) products of length p q.
    """
    pairs = d * d if outputs == "full" else d
    tables = 1 if outputs in ("trace", "sum") else pairs
    return positions**2 * (p + pairs * q + _POSITION_PAIR * tables) < pairs * p * q


def _pulled_back(
    found: Gradients, values: dict[int, Any], summed: dict[int, jax.Array], dtype: Any
) -> list[Share]:
    """Return the gradients of parameters from those of values computed from them."""
    program = found.program
    places = sorted({leaf for value in summed for leaf in found.sources[value].leaves})

    def ports(leaves: list[jax.Array]) -> list[jax.Array]:
        local = {number: values[number] for number in program.others} | program.constants
        local.update((number, values[number]) for number in program.leaves)
        local.update(zip((program.leaves[place] for place in places), leaves, strict=True))
        program.run(local, {Kind.CONSTANT, Kind.PARAMETER})
        return [local[value] for value in summed]

    now, pull = jax.vjp(ports, [values[program.leaves[place]] for place in places])
    cotangents = [
        gradient.astype(value.dtype) for gradient, value in zip(summed.values(), now, strict=True)
    ]
    leaves = jax.vmap(jax.vmap(functools.partial(_first, pull)))(cotangents)
    return [Flat(leaf.astype(dtype).reshape(*leaf.shape[:2], -1)) for leaf in leaves]


def _first(pull: Any, cotangents: list[jax.Array]) -> list[jax.Array]:
    found: list[jax.Array] = pull(cotangents)[0]
    return found
