"""Refusing functions that make the examples of a batch depend on each other, or on their places.

The function is traced for two examples, and the axis that they lie along is followed from equation
to equation. It may be moved, merged with others and split again; an equation that sums, sorts,
cuts or shifts along it mixes examples. What no example enters must be the same for all of them:
numbers that were drawn or counted along their axis would make a kernel depend on the batch.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.extend.core
import numpy as np

from kdtheory.errors import InputError
from kdtheory.ntk.axis_rules import lanes
from kdtheory.ntk.program import scan_counts


class Lane(NamedTuple):
    """Part of an axis: its entries are (outer, size, inner), and the lane is the middle one.

    `axis` is -1 for a value that is one example's as a whole, within a scan over examples.
    """

    axis: int
    size: int
    inner: int

    def covers(self, other: "Lane") -> bool:
        """Return whether the other lane is part of this one."""
        return (
            self.axis == other.axis
            and other.inner % self.inner == 0
            and (self.inner * self.size) % (other.inner * other.size) == 0
        )


class Fact(NamedTuple):
    """What is known of a value.

    Attributes:
      examples: where the examples lie; None if no example enters it.
      same: lanes along which it is the same (only asked where no example enters).
      drawn: it holds random numbers.
    """

    examples: Lane | None = None
    same: frozenset[Lane] = frozenset()
    drawn: bool = False


def check_no_interaction(jaxpr: Any, constants: Sequence[Any], example: int, size: int) -> None:
    """Check the jaxpr of a function of a batch.

    Args:
      jaxpr: what JAX traced.
      constants: its constants' values.
      example: which of its inputs has the examples, along axis 0; the one output has them there.
      size: how many examples there are.

    Raises:
      InputError: an example enters another's output, or its place in the batch does; the message
        names the primitive.

    >>> import jax, jax.numpy as jnp
    >>> closed = jax.make_jaxpr(lambda x: x - x.mean(0, keepdims=True))(jnp.ones((2, 3)))
    >>> check_no_interaction(closed.jaxpr, closed.consts, 0, 2)
    Traceback (most recent call last):
    kdtheory.errors.InputError: the outputs of examples depend on each other: reduce_sum ...
    """
    inputs = [Fact() for _ in jaxpr.invars]
    inputs[example] = Fact(Lane(0, size, 1))
    (logits,) = _follow(jaxpr, [_of_constant(value) for value in constants], inputs, size, "")
    shape = jaxpr.outvars[0].aval.shape
    if logits.examples not in (None, Lane(0, size, 1)):
        raise InputError(f"the examples do not lie along axis 0 of the logits, of shape {shape}")
    if logits.examples is None and logits.drawn:
        raise _refused("random numbers", "", "differ from example to example")


def _of_constant(value: Any) -> Fact:
    return Fact(same=_whole_axes(np.shape(value), value))


def _whole_axes(shape: tuple[int, ...], value: Any = None) -> frozenset[Lane]:
    """Return the axes along which a constant does not change."""
    found = set()
    for axis, length in enumerate(shape):
        if length == 1:
            found.add(Lane(axis, 1, 1))
        elif value is not None and np.size(value) <= 2**20:
            array = np.asarray(value) if not hasattr(value, "_arr") else None
            if array is not None and array.dtype.kind in "biufc":
                first = np.take(array, [0], axis)
                if bool((array == first).all()):
                    found.add(Lane(axis, length, 1))
    return frozenset(found)


def _follow(
    jaxpr: Any, constants: Sequence[Fact], inputs: Sequence[Fact], size: int, outer: str
) -> list[Fact]:
    """Return what is known of a jaxpr's outputs."""
    facts: dict[Any, Fact] = dict(zip(jaxpr.constvars, constants, strict=True))
    facts.update(zip(jaxpr.invars, inputs, strict=True))

    def of(atom: Any) -> Fact:
        if isinstance(atom, jax.extend.core.Literal):
            return _of_constant(atom.val)
        return facts[atom]

    for equation in jaxpr.eqns:
        where = "/".join(part for part in (outer, str(equation.source_info.name_stack)) if part)
        given = [of(atom) for atom in equation.invars]
        facts.update(zip(equation.outvars, _equation(equation, given, size, where), strict=True))
    return [of(atom) for atom in jaxpr.outvars]


def _equation(equation: Any, given: list[Fact], size: int, where: str) -> list[Fact]:
    name, settings = equation.primitive.name, equation.params
    if name == "scan":
        return _scan(equation, given, size, where)
    if name == "while":
        return _while(equation, given, size, where)
    if name == "cond":
        index, *rest = given
        if index.examples is not None:
            raise _refused(name, where, "chooses for all examples by one of them")
        branches = [_inner(branch, rest, size, where) for branch in settings["branches"]]
        return [_joined(found, name, where) for found in zip(*branches, strict=True)]
    if name == "custom_linear_solve":
        lengths = settings["const_lengths"]
        first = lengths.matvec + lengths.vecmat
        solved = [*given[first : first + lengths.solve], *given[sum(lengths) :]]
        return _inner(settings["jaxprs"].solve, solved, size, where)
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if key in settings:
            return _inner(settings[key], given, size, where)
    shapes = [tuple(atom.aval.shape) for atom in equation.invars]
    results = []
    for out in equation.outvars:
        shape = tuple(out.aval.shape)
        if name == "reshape":
            results.append(_reshaped(given[0], shapes[0], shape, where))
        else:
            results.append(_primitive(name, settings, given, shapes, shape, where))
    return results


def _primitive(
    name: str, settings: Any, given: list[Fact], shapes: Any, shape: Any, where: str
) -> Fact:
    rule = lanes(name, settings, shapes, shape)
    examples = [(place, fact.examples) for place, fact in enumerate(given) if fact.examples]
    drawn = name == "random_bits" or any(fact.drawn for fact in given)
    if rule is None:
        if examples:
            raise InputError(
                f"cannot tell whether {_at(name, where)} keeps examples apart; it is not known here"
            )
        return Fact(drawn=drawn)
    if not examples:
        same = {Lane(k, 1, 1) for k, length in enumerate(shape) if length == 1}
        for axis, inputs in enumerate(rule):
            if inputs is None or (
                name in ("random_bits", "random_split") and axis >= len(shapes[0])
            ):
                continue
            present = [(i, k) for i, k in enumerate(inputs) if k is not None]
            if not present:
                same.add(Lane(axis, shape[axis], 1))
                continue
            first, k = present[0]
            for lane in given[first].same:
                if lane.axis == k and all(
                    _is_same(given[i], lane._replace(axis=j)) for i, j in present
                ):
                    same.add(lane._replace(axis=axis))
        return Fact(same=frozenset(same), drawn=drawn)
    if any(lane.axis == -1 for _, lane in examples):
        if not all(lane.axis == -1 for _, lane in examples):
            raise _refused(name, where, "combines examples with each other")
        return Fact(Lane(-1, 1, 1), drawn=drawn)
    place, lane = examples[0]
    out = next(
        (k for k, inputs in enumerate(rule) if inputs is not None and inputs[place] == lane.axis),
        None,
    )
    if out is None:
        raise _refused(name, where, "works along the axis of the examples")
    inputs = rule[out]
    assert inputs is not None
    for i, fact in enumerate(given):
        own = inputs[i]
        if fact.examples is not None:
            if own is None or fact.examples != lane._replace(axis=own):
                raise _refused(name, where, "combines examples with each other")
        elif own is not None and not _is_same(fact, lane._replace(axis=own)):
            if fact.drawn:
                raise InputError(
                    f"random numbers differ from example to example at {_at(name, where)}: turn "
                    "off dropout and other noise"
                )
            raise _refused(name, where, "treats an example by its place in the batch")
    return Fact(lane._replace(axis=out), drawn=drawn)


def _is_same(fact: Fact, lane: Lane) -> bool:
    return lane.size == 1 or any(one.covers(lane) for one in fact.same)


def _reshaped(fact: Fact, before: Any, after: Any, where: str) -> Fact:
    if fact.examples is not None:
        if fact.examples.axis == -1:
            return fact
        lane = _moved(fact.examples, before, after)
        if lane is None:
            raise _refused("reshape", where, "takes the axis of the examples apart")
        return fact._replace(examples=lane)
    moved = {_moved(lane, before, after) for lane in fact.same}
    same = {lane for lane in moved if lane is not None}
    same |= {Lane(k, 1, 1) for k, length in enumerate(after) if length == 1}
    return fact._replace(same=frozenset(same))


def _moved(lane: Lane, before: Any, after: Any) -> Lane | None:
    """Return where a lane lies after a reshape, told by how far apart its entries are."""
    stride = lane.inner * int(np.prod(before[lane.axis + 1 :], dtype=np.int64))
    here = 1
    for axis in reversed(range(len(after))):
        end = here * after[axis]
        if after[axis] > 1 and stride % here == 0 and end % (stride * lane.size) == 0:
            return Lane(axis, lane.size, stride // here)
        here = end
    return None


def _joined(facts: Sequence[Fact], name: str, where: str) -> Fact:
    """Return what is known of a value that is one of several."""
    lanes_ = {fact.examples for fact in facts if fact.examples is not None}
    drawn = any(fact.drawn for fact in facts)
    if len(lanes_) > 1:
        raise _refused(name, where, "combines examples with each other")
    if lanes_:
        (lane,) = lanes_
        for fact in facts:
            if fact.examples is None and lane.axis >= 0 and not _is_same(fact, lane):
                raise _refused(name, where, "treats an example by its place in the batch")
        return Fact(lane, drawn=drawn)
    return Fact(same=frozenset.intersection(*(fact.same for fact in facts)), drawn=drawn)


def _inner(jaxpr: Any, given: Sequence[Fact], size: int, where: str) -> list[Fact]:
    """Follow a jaxpr that has its constants with it, or none."""
    constants = [_of_constant(value) for value in getattr(jaxpr, "consts", [])]
    return _follow(getattr(jaxpr, "jaxpr", jaxpr), constants, given, size, where)


def _scan(equation: Any, given: list[Fact], size: int, where: str) -> list[Fact]:
    settings = equation.params
    consts, carries = scan_counts(settings)
    fixed, carry, scanned = (
        given[:consts],
        given[consts : consts + carries],
        given[consts + carries :],
    )
    over = any(fact.examples is not None and fact.examples.axis == 0 for fact in scanned)
    length = settings["length"]
    slices = []
    for fact in scanned:
        if fact.examples is not None and fact.examples.axis == 0:
            if fact.examples != Lane(0, length, 1):
                raise _refused("scan", where, "goes through groups of examples")
            slices.append(Fact(Lane(-1, 1, 1), drawn=fact.drawn))
        elif over and not _is_same(fact, Lane(0, length, 1)):
            raise _refused("scan", where, "treats an example by its place in the batch")
        else:
            slices.append(_shifted(fact, -1))
    for _ in range(2 + len(carry) * 4):
        found = _inner(settings["jaxpr"], [*fixed, *carry, *slices], size, where)
        after = [_joined(pair, "scan", where) for pair in zip(carry, found[:carries], strict=True)]
        if over and any(fact.examples is not None and fact.examples.axis == -1 for fact in after):
            raise _refused("scan", where, "goes from one example to the next")
        if after == carry:
            break
        carry = after
    outputs = []
    for fact in found[carries:]:
        if fact.examples is not None and fact.examples.axis == -1:
            outputs.append(Fact(Lane(0, length, 1), drawn=fact.drawn))
        else:
            outputs.append(_shifted(fact, 1))
    return [*carry, *outputs]


def _shifted(fact: Fact, by: int) -> Fact:
    def one(lane: Lane) -> Lane:
        return lane if lane.axis == -1 else lane._replace(axis=lane.axis + by)

    examples = None if fact.examples is None else one(fact.examples)
    same = frozenset(one(lane) for lane in fact.same if lane.axis + by >= 0)
    return Fact(examples, same, fact.drawn)


def _while(equation: Any, given: list[Fact], size: int, where: str) -> list[Fact]:
    settings = equation.params
    first, second = settings["cond_nconsts"], settings["body_nconsts"]
    condition, fixed, carry = given[:first], given[first : first + second], given[first + second :]
    for _ in range(2 + len(carry) * 4):
        found = _inner(settings["body_jaxpr"], [*fixed, *carry], size, where)
        after = [_joined(pair, "while", where) for pair in zip(carry, found, strict=True)]
        if after == carry:
            break
        carry = after
    (stop,) = _inner(settings["cond_jaxpr"], [*condition, *carry], size, where)
    if stop.examples is not None:
        raise _refused("while", where, "ends for all examples by one of them")
    return carry


def _at(name: str, where: str) -> str:
    return f"{name} in {where}" if where else name


def _refused(name: str, where: str, what: str) -> InputError:
    return InputError(
        f"the outputs of examples depend on each other: {_at(name, where)} {what} (batch "
        "normalisation must be in inference mode, dropout off)"
    )
