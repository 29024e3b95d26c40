"""Per-example gradients of one meeting's ports, from its data and its output's cotangents.

`dot_general` and `conv_general_dilated` become products of inputs and cotangents over positions:
one matrix product an example, or an outer product that is not carried out. Every other equation
goes through the vector-Jacobian product of that equation alone, one example at a time under vmap;
for sums and products that is the multiplication and the sum over positions that one would write.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from kdtheory.ntk.meetings import Meeting
from kdtheory.ntk.program import Kind, Program

#: Shifted slices formed at a time on CPU, in bytes: they should stay in its caches.
SLICES_IN_CACHE = 2 * 2**20

#: Equations whose vector-Jacobian product is entry by entry and a sum.
ENTRYWISE = frozenset({"add", "sub", "mul", "div", "add_any", "max", "min", "select_n"})


class Products(NamedTuple):
    """Gradients sum_t inputs[i, t] cotangents[i, a, t]^T, not carried out yet.

    Attributes:
      inputs: (b, groups, positions, p).
      cotangents: (b, d, groups, positions, q).
      order: the axes groups, p and q of the gradient, as in the port, and their lengths.
    """

    inputs: jax.Array
    cotangents: jax.Array
    order: "Order"


class Order(NamedTuple):
    """How (groups..., inputs..., cotangents...) become the axes of a port.

    Attributes:
      lengths: of the axes, groups first, then inputs, then cotangents.
      permutation: the port's axes are these, transposed so.
    """

    lengths: tuple[int, ...]
    permutation: tuple[int, ...]

    def restore(self, gradients: jax.Array) -> jax.Array:
        """Return gradients (b, d, groups, p, q) as (b, d, *port)."""
        lead = gradients.shape[:2]
        whole = gradients.reshape(*lead, *self.lengths)
        return whole.transpose(0, 1, *(axis + 2 for axis in self.permutation))


def form_of(program: Program, meeting: Meeting) -> str:
    """Return the form that a meeting's gradients take: "dot", "conv" or "general"."""
    equation, ports = meeting
    if len(ports) != 1 or ports[0].broadcasts:
        return "general"
    settings = equation.settings
    if equation.name == "dot_general":
        return "dot"
    if equation.name == "conv_general_dilated" and ports[0].place == 1:
        return "general" if settings["batch_group_count"] != 1 else "conv"
    return "general"


def reason(program: Program, meeting: Meeting) -> str:
    """Return how a meeting's gradients are computed, for a person.

    A form of its own, or why there is none.
    """
    equation = meeting.equation
    form = form_of(program, meeting)
    if form == "dot":
        return "product over positions" if _positions(program, meeting) > 1 else "outer product"
    if form == "conv":
        return "shifted slices"
    if equation.name in ENTRYWISE:
        return "sum over positions"
    return f"general: {equation.name} by its own vector-Jacobian product"


def _positions(program: Program, meeting: Meeting) -> int:
    equation, (port,) = meeting
    (lhs, rhs), (batch, _) = equation.settings["dimension_numbers"]
    shape = program.shapes[equation.inputs[1 - port.place]].shape
    contracted = lhs if port.place == 1 else rhs
    groups = batch if port.place == 1 else equation.settings["dimension_numbers"][1][1]
    return math.prod(n for i, n in enumerate(shape) if i not in (*contracted, *groups))


def products(
    program: Program, meeting: Meeting, data: jax.Array, cotangents: jax.Array
) -> Products:
    """Return the gradients of a meeting of form "dot" or of a convolution of one position.

    Args:
      program: which the meeting is of.
      meeting: the equation.
      data: the operand that is not the port, (b, ...).
      cotangents: (d, b, ...): derivative of each of the d outputs by the equation's output.
    """
    equation, (port,) = meeting
    (lhs, rhs), (lhs_groups, rhs_groups) = equation.settings["dimension_numbers"]
    own, own_groups = (rhs, rhs_groups) if port.place == 1 else (lhs, lhs_groups)
    other, other_groups = (lhs, lhs_groups) if port.place == 1 else (rhs, rhs_groups)
    b, d = data.shape[0], cotangents.shape[0]
    shape = program.shapes[port.value].shape
    free = [axis for axis in range(len(shape)) if axis not in (*own, *own_groups)]
    positions = [axis for axis in range(data.ndim - 1) if axis not in (*other, *other_groups)]
    axes = [0, *(axis + 1 for axis in (*other_groups, *positions, *other))]
    groups = math.prod(shape[axis] for axis in own_groups)
    p, q = (math.prod(shape[axis] for axis in part) for part in (own, free))
    inputs = data.transpose(axes).reshape(b, groups, -1, p)
    cotangents = jnp.moveaxis(cotangents, 0, 1)
    if port.place == 1:
        cotangents = cotangents.reshape(b, d, groups, -1, q)
    else:
        cotangents = cotangents.reshape(b, d, groups, q, -1).swapaxes(-1, -2)
    made = (*own_groups, *own, *free)
    order = Order(
        tuple(shape[axis] for axis in made), tuple(made.index(axis) for axis in range(len(shape)))
    )
    return Products(inputs, cotangents, order)


class Window(NamedTuple):
    """How a convolution's kernel moves over its padded input."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    output: tuple[int, ...]

    def slices(self, x: jax.Array) -> list[jax.Array]:
        """Return, for each kernel position, the input entries that it meets: (b, *output, c)."""
        found = []
        for position in itertools.product(*map(range, self.kernel)):
            start = [p * d for p, d in zip(position, self.dilation, strict=True)]
            stop = [
                s + (o - 1) * stride + 1
                for s, o, stride in zip(start, self.output, self.strides, strict=True)
            ]
            found.append(
                lax.slice(
                    x,
                    (0, *start, 0),
                    (x.shape[0], *stop, x.shape[-1]),
                    (1, *self.strides, 1),
                )
            )
        return found


class Convolution(NamedTuple):
    """A convolution's gradients, not carried out yet.

    Attributes:
      x: padded inputs, (b * m, *spatial, c) with m images an example.
      cotangents: (b, d, m * positions, groups, q / groups).
      window: how the kernel moves.
      order: as in `Products`, of (groups, taps, c, q).
    """

    x: jax.Array
    cotangents: jax.Array
    window: Window
    order: Order

    @property
    def groups(self) -> int:
        """Groups of channels."""
        return int(self.cotangents.shape[3])

    def patches(self) -> jax.Array:
        """Return what each position meets, (b, positions, taps * c), of one group."""
        b, positions = self.cotangents.shape[0], self.cotangents.shape[2]
        slices = self.window.slices(self.x)
        return jnp.concatenate(slices, axis=-1).reshape(b, positions, -1)


def convolution(
    program: Program, meeting: Meeting, data: jax.Array, cotangents: jax.Array
) -> Convolution:
    """Return the gradients of a meeting of form "conv", not carried out; arguments as `products`.

    The input is padded, and dilated for a transposed convolution; what is left is an ordinary one.
    """
    equation, (port,) = meeting
    settings = equation.settings
    numbers = settings["dimension_numbers"]
    lhs, rhs, out = (
        tuple(axis for axis in spec)
        for spec in (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec)
    )
    shape = program.shapes[port.value].shape
    b, d, m = data.shape[0], cotangents.shape[0], data.shape[1 + lhs[0]]
    groups = settings["feature_group_count"]
    q, kernel = shape[rhs[0]], tuple(shape[axis] for axis in rhs[2:])
    x = data.transpose(0, 1 + lhs[0], *(1 + axis for axis in lhs[2:]), 1 + lhs[1])
    x = x.reshape(b * m, *x.shape[2:])
    around = [
        (low, high, dilation - 1)
        for (low, high), dilation in zip(settings["padding"], settings["lhs_dilation"], strict=True)
    ]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *around, (0, 0, 0)])
    spatial = tuple(cotangents.shape[2 + axis] for axis in out[2:])
    cotangents = cotangents.transpose(
        1, 0, 2 + out[0], *(2 + axis for axis in out[2:]), 2 + out[1]
    ).reshape(b, d, -1, groups, q // groups)
    window = Window(kernel, settings["window_strides"], settings["rhs_dilation"], spatial)
    # The gradient is made as (groups, *kernel, c, q / groups); the port has its q as one axis.
    rank = len(kernel)
    place = {axis: 1 + index for index, axis in enumerate(rhs[2:])} | {rhs[1]: 1 + rank}
    permutation: list[int] = []
    for axis in range(len(shape)):
        permutation += [0, 2 + rank] if axis == rhs[0] else [place[axis]]
    order = Order((groups, *kernel, shape[rhs[1]], q // groups), tuple(permutation))
    return Convolution(x, cotangents, window, order)


def conv_gradients(conv: Convolution) -> jax.Array:
    """Return a convolution's gradients carried out, (b, d, groups, q / groups, taps * c).

    In that order, which costs least.
    """
    b, d, positions, groups, each = conv.cotangents.shape
    channels = conv.x.shape[-1] // groups

    def some(x: jax.Array, cotangents: jax.Array) -> jax.Array:
        m = cotangents.shape[0]
        part = conv._replace(x=x, cotangents=cotangents)
        if groups == 1:
            return jnp.einsum("mdso,msi->mdoi", cotangents[:, :, :, 0], part.patches())[:, :, None]
        slices = conv.window.slices(x)
        if channels == 1:
            # Depthwise: no channels to sum over, so there is no matrix product in it.
            parts = [
                (cotangents * one.reshape(m, 1, positions, groups, 1)).sum(2) for one in slices
            ]
            return jnp.stack(parts, axis=-1)
        patches = jnp.stack([one.reshape(m, positions, groups, channels) for one in slices], axis=3)
        found = jnp.einsum("mdsgo,msgtc->mdgotc", cotangents, patches)
        return found.reshape(m, d, groups, each, -1)

    taps = math.prod(conv.window.kernel)
    size = positions * taps * conv.x.shape[-1] * conv.x.dtype.itemsize
    return _in_cache(some, conv.x.reshape(b, -1, *conv.x.shape[1:]), conv.cotangents, size)


def restore_conv(conv: Convolution, gradients: jax.Array) -> jax.Array:
    """Return what `conv_gradients` made as (b, d, *port)."""
    b, d, groups, each, _ = gradients.shape
    taps = math.prod(conv.window.kernel)
    channels = conv.order.lengths[-2]
    whole = gradients.reshape(b, d, groups, each, taps * channels).swapaxes(-1, -2)
    split = conv.order.restore(whole)
    # The port's axis of outputs is (groups, q / groups).
    axis = 2 + conv.order.permutation.index(0)
    shape = (*split.shape[:axis], groups * each, *split.shape[axis + 2 :])
    return split.reshape(shape)


def _in_cache(function: Any, x: jax.Array, cotangents: jax.Array, example_bytes: int) -> jax.Array:
    """Apply `function` to so few examples at a time that its slices stay in a CPU's caches.

    Memory that is touched once for a whole block costs several times the product itself on CPU.
    """
    b, images = x.shape[:2]

    def flat(x: jax.Array) -> jax.Array:
        return x.reshape(-1, *x.shape[2:])

    largest = max(1, SLICES_IN_CACHE // example_bytes)
    if largest >= b or jax.default_backend() != "cpu":
        found: jax.Array = function(flat(x), cotangents)
        return found
    m = max(size for size in range(1, largest + 1) if b % size == 0)
    parts = (
        x.reshape(b // m, m * images, *x.shape[2:]),
        cotangents.reshape(b // m, m, *cotangents.shape[1:]),
    )
    result = lax.map(lambda part: function(*part), parts)
    return result.reshape(b, *result.shape[2:])


def general(
    program: Program,
    meeting: Meeting,
    values: dict[int, Any],
    data: dict[int, jax.Array],
    cotangents: Sequence[jax.Array],
    dtype: Any = None,
) -> list[jax.Array]:
    """Return the gradients of any meeting's ports, each (b, d, *port).

    Args:
      program: which the meeting is of.
      meeting: the equation.
      values: its inputs that no example enters.
      data: its other inputs, each (b, ...).
      cotangents: of its real outputs, each (d, b, ...).
      dtype: to compute in, for equations that take any; None for the equation's own.
    """
    equation, ports = meeting
    real = real_outputs(program, meeting)
    if dtype is not None:
        values = {number: _wide(values[number], dtype) for number in _needed(meeting, values)}
        data = {number: _wide(value, dtype) for number, value in data.items()}
        cotangents = [value.astype(dtype) for value in cotangents]

    def one(data: dict[int, jax.Array], cotangents: Sequence[jax.Array]) -> Any:
        def outputs(parts: list[jax.Array]) -> list[jax.Array]:
            inputs = [
                data[number] if program.kinds[number] is Kind.DATA else values[number]
                for number in equation.inputs
            ]
            for port, part in zip(ports, parts, strict=True):
                for broadcast in port.broadcasts:
                    (part,) = broadcast.run(part)
                inputs[port.place] = part
            found = equation.run(*inputs)
            return [found[index] for index in real]

        _, pull = jax.vjp(outputs, [values[port.value] for port in ports])
        return jax.vmap(lambda *cotangent: pull(list(cotangent))[0])(*cotangents)

    found: list[jax.Array] = jax.vmap(one, in_axes=(0, [1] * len(cotangents)))(
        data, list(cotangents)
    )
    return found


def _needed(meeting: Meeting, values: dict[int, Any]) -> list[int]:
    """Return what a meeting needs of the values that no example enters."""
    wanted = {*meeting.equation.inputs, *(port.value for port in meeting.ports)}
    return [number for number in wanted if number in values]


def _wide(value: Any, dtype: Any) -> Any:
    return value.astype(dtype) if jnp.issubdtype(value.dtype, jnp.inexact) else value


def real_outputs(program: Program, meeting: Meeting) -> list[int]:
    """Return which of a meeting's outputs have a derivative."""
    return [
        index
        for index, number in enumerate(meeting.equation.outputs)
        if jnp.issubdtype(program.shapes[number].dtype, jnp.inexact)
    ]
