"""Where a function's parameters meet its data, and how each parameter gets there.

A *meeting* is an equation that data and values of parameters alone go into. The latter, its
*ports*, are parameters, or computed from them (a transposed kernel, a normalised weight, one
layer of a stack). Broadcasts of a port belong to the meeting. With the derivative of the logits by
a meeting's output, the gradient by its ports is a matter of that equation alone.
"""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from kdtheory.ntk.program import Equation, Kind, Program, moved


class Port(NamedTuple):
    """A value of parameters that goes into a meeting.

    Attributes:
      place: which of the meeting's inputs it is.
      value: its number, before broadcasts.
      broadcasts: what is broadcast, in order: equations of one input.
    """

    place: int
    value: int
    broadcasts: tuple[Equation, ...]


class Meeting(NamedTuple):
    """An equation where parameters meet data."""

    equation: Equation
    ports: tuple[Port, ...]


def find_meetings(program: Program) -> list[Meeting]:
    """Return the equations that parameters and data go into, in order."""
    makers = {number: eq for eq in program.equations for number in eq.outputs}
    needed = _needed(program)
    found = []
    for equation in program.equations:
        kinds = [program.kinds[number] for number in equation.inputs]
        if Kind.DATA not in kinds or not needed.intersection(equation.outputs):
            continue
        ports = tuple(
            _port(program, makers, place, number)
            for place, (number, kind) in enumerate(zip(equation.inputs, kinds, strict=True))
            if kind is Kind.PARAMETER and _is_real(program.shapes[number])
        )
        if ports and any(_is_real(program.shapes[number]) for number in equation.outputs):
            found.append(Meeting(equation, ports))
    return found


def _needed(program: Program) -> set[int]:
    """Return the values that the logits are computed from."""
    needed = {program.logits}
    for equation in reversed(program.equations):
        if needed.intersection(equation.outputs):
            needed.update(equation.inputs)
    return needed


def _is_real(like: jax.ShapeDtypeStruct) -> bool:
    return bool(jax.numpy.issubdtype(like.dtype, jax.numpy.inexact))


def _port(program: Program, makers: dict[int, Equation], place: int, number: int) -> Port:
    broadcasts: list[Equation] = []
    while number in makers and makers[number].name == "broadcast_in_dim":
        broadcasts.insert(0, makers[number])
        number = makers[number].inputs[0]
    return Port(place, number, tuple(broadcasts))


class Sources(NamedTuple):
    """Which parameters a value of parameters is computed from.

    Attributes:
      leaves: their places.
      entries: which entries of the one leaf these are, in the value's shape; None if they are
        computed, or of several.
    """

    leaves: tuple[int, ...]
    entries: np.ndarray | None

    def name(self) -> Hashable:
        """Return what is equal for equal entries of equal leaves."""
        if self.entries is None:
            return id(self)
        return self.leaves, self.entries.shape, self.entries.tobytes()


def find_sources(program: Program, meetings: Sequence[Meeting]) -> dict[int, Sources]:
    """Follow the value of each port back to the parameters."""
    makers = {number: eq for eq in program.equations for number in eq.outputs}
    leaves: dict[int, frozenset[int]] = {
        number: frozenset({place}) for place, number in enumerate(program.leaves)
    }
    for equation in program.equations:
        if all(program.kinds[number] is not Kind.DATA for number in equation.outputs):
            each = [leaves.get(number, frozenset()) for number in equation.inputs]
            for number in equation.outputs:
                leaves[number] = frozenset().union(*each)
    values = {port.value for meeting in meetings for port in meeting.ports}
    return {
        value: Sources(tuple(sorted(leaves[value])), _entries(program, makers, value))
        for value in values
    }


def used_once(program: Program, uses: Sequence[Sources]) -> frozenset[int]:
    """Return the places of the leaves each of whose entries is in one of the uses at most.

    Gradients by such entries need no sum over uses, and can stay in any order.
    """
    parts: dict[int, list[np.ndarray]] = {place: [] for place in range(len(program.leaves))}
    once = set(parts)
    for use in uses:
        if use.entries is None:
            once.difference_update(use.leaves)
        else:
            parts[use.leaves[0]].append(use.entries)
    for place in sorted(once):
        if len(parts[place]) > 1:
            counts = np.zeros(math.prod(program.shapes[program.leaves[place]].shape), np.int32)
            for entries in parts[place]:
                counts[entries] += 1
            if counts.max(initial=0) > 1:
                once.remove(place)
    return frozenset(once)


def _entries(program: Program, makers: dict[int, Equation], value: int) -> np.ndarray | None:
    """Return which entries of a leaf a value has; None if it is computed."""
    path = []
    while value in makers:
        equation = makers[value]
        if len(equation.inputs) != 1:
            return None
        path.append(equation)
        value = equation.inputs[0]
    shape = program.shapes[value].shape
    indices: np.ndarray | None = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
    for equation in reversed(path):
        assert indices is not None
        indices = moved(equation, indices, program.shapes[equation.outputs[0]].shape)
        if indices is None:
            return None
    return indices
