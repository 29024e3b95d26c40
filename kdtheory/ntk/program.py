"""A function of parameters and one example as a flat list of equations.

JAX traces the function to a jaxpr. Calls inside it (jit, remat, closed calls) are inlined, and
scans in which a parameter meets data are unrolled where that stays small. A custom derivative rule
is kept as one equation, so that it is the rule that is differentiated. Each value is told apart by
what it depends on: nothing, parameters only, or the example.
"""

import enum
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core
import numpy as np

#: Equations that a scan may become; longer ones stay one equation.
UNROLLED = 1000

_CALLS = frozenset(
    {"jit", "pjit", "closed_call", "core_call", "core_closed_call", "checkpoint", "remat", "remat2"}
)


class Kind(enum.IntEnum):
    """What a value depends on; a value of several others has the largest of their kinds."""

    CONSTANT = 0
    PARAMETER = 1
    DATA = 2


class Equation(NamedTuple):
    """One primitive applied to values, which go by their numbers.

    Attributes:
      name: of the primitive; "index" for one slice of an unrolled scan's input, "stack" for its
        outputs.
      settings: the primitive's parameters.
      run: computes the outputs.
      inputs: numbers of the values that go in.
      outputs: numbers of the values that come out.
      where: the names that the model gives to this place, such as "ResNet/Conv_0"; may be empty.
    """

    name: str
    settings: dict[str, Any]
    run: Callable[..., Sequence[Any]]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    where: str


class Program:
    """The equations of one function, in order.

    Attributes:
      equations: what is computed.
      kinds: of each value.
      shapes: shape and dtype of each value.
      constants: values that are known.
      leaves: numbers of the parameters' leaves.
      others: numbers of the other variables' leaves.
      example: number of the inputs, one example with a leading axis of length 1.
      logits: number of the result.
    """

    def __init__(self) -> None:
        self.equations: list[Equation] = []
        self.kinds: list[Kind] = []
        self.shapes: list[Any] = []
        self.constants: dict[int, Any] = {}
        self.leaves: list[int] = []
        self.others: list[int] = []
        self.example = self.logits = -1

    def value(self, kind: Kind, like: Any) -> int:
        """Return the number of a new value."""
        self.kinds.append(kind)
        self.shapes.append(jax.ShapeDtypeStruct(like.shape, like.dtype))
        return len(self.kinds) - 1

    def add(
        self,
        name: str,
        settings: dict[str, Any],
        run: Callable[..., Sequence[Any]],
        inputs: Sequence[int],
        outputs: Sequence[Any],
        where: str,
    ) -> list[int]:
        """Append an equation with outputs like `outputs`; return their numbers."""
        kind = max((self.kinds[value] for value in inputs), default=Kind.CONSTANT)
        numbers = [self.value(kind, like) for like in outputs]
        self.equations.append(Equation(name, settings, run, tuple(inputs), tuple(numbers), where))
        return numbers

    def run(self, values: dict[int, Any], kinds: set[Kind]) -> None:
        """Evaluate the equations of some kinds; `values` has what is known and grows."""
        for equation in self.equations:
            if equation.outputs and self.kinds[equation.outputs[0]] in kinds:
                found = equation.run(*(values[number] for number in equation.inputs))
                values.update(zip(equation.outputs, found, strict=True))


def trace(
    function: Callable[[list[Any], list[Any], Any], Any],
    leaves: Sequence[Any],
    others: Sequence[Any],
    example: Any,
) -> Program:
    """Return the program of (parameters' leaves, other leaves, one example) -> logits.

    Args:
      function: what is traced, once.
      leaves: shapes and dtypes of the parameters.
      others: those of the other variables.
      example: that of the inputs, (1, ...).

    >>> f = jax.ShapeDtypeStruct
    >>> program = trace(lambda p, _, x: x @ p[0], [f((3, 2), "float32")], [], f((1, 3), "float32"))
    >>> [equation.name for equation in program.equations]
    ['dot_general']
    """
    closed = jax.make_jaxpr(function)(list(leaves), list(others), example)
    program = Program()
    program.leaves = [program.value(Kind.PARAMETER, leaf) for leaf in leaves]
    program.others = [program.value(Kind.CONSTANT, leaf) for leaf in others]
    program.example = program.value(Kind.DATA, example)
    (program.logits,) = _inline(
        program,
        closed.jaxpr,
        closed.consts,
        [*program.leaves, *program.others, program.example],
        "",
    )
    if program.kinds[program.logits] is not Kind.DATA:
        # Logits that no example enters: they are handed on beside one.
        (program.logits,) = program.add(
            "output",
            {},
            lambda logits, _: [logits],
            [program.logits, program.example],
            [program.shapes[program.logits]],
            "",
        )
    return program


def _constant(program: Program, value: Any) -> int:
    if not isinstance(value, jax.Array):
        value = np.asarray(value)
    number = program.value(Kind.CONSTANT, value)
    program.constants[number] = value
    return number


def _inline(
    program: Program, jaxpr: Any, constants: Sequence[Any], inputs: Sequence[int], outer: str
) -> list[int]:
    """Append a jaxpr's equations; return the numbers of its outputs."""
    numbers: dict[Any, int] = dict(zip(jaxpr.invars, inputs, strict=True))
    for variable, value in zip(jaxpr.constvars, constants, strict=True):
        numbers[variable] = _constant(program, value)

    def number(atom: Any) -> int:
        if isinstance(atom, jax.extend.core.Literal):
            like: Any = atom.aval
            return _constant(program, np.asarray(atom.val, like.dtype))
        return numbers[atom]

    for equation in jaxpr.eqns:
        given = [number(atom) for atom in equation.invars]
        where = "/".join(part for part in (outer, str(equation.source_info.name_stack)) if part)
        found = _apply(program, equation, given, where)
        numbers.update(zip(equation.outvars, found, strict=True))
    return [number(atom) for atom in jaxpr.outvars]


def _apply(program: Program, equation: Any, inputs: list[int], where: str) -> list[int]:
    """Append one equation, or what stands for it; return the numbers of its outputs."""
    name, settings = equation.primitive.name, equation.params
    if name in _CALLS:
        inner = settings["jaxpr"] if "jaxpr" in settings else settings["call_jaxpr"]
        if hasattr(inner, "consts"):
            return _inline(program, inner.jaxpr, inner.consts, inputs, where)
        return _inline(program, inner, [], inputs, where)
    if name == "scan" and _meets(program, inputs):
        body = settings["jaxpr"].jaxpr
        if settings["length"] * max(1, equation_count(body)) <= UNROLLED:
            return _unroll(program, settings, inputs, where)
    return program.add(
        name,
        settings,
        functools.partial(_bind, equation.primitive, settings),
        inputs,
        [variable.aval for variable in equation.outvars],
        where,
    )


def _meets(program: Program, inputs: Sequence[int]) -> bool:
    kinds = {program.kinds[value] for value in inputs}
    return Kind.PARAMETER in kinds and Kind.DATA in kinds


def equation_count(jaxpr: Any) -> int:
    """Return how many equations a jaxpr has once its calls are inlined and its scans unrolled."""
    count = 0
    for equation in jaxpr.eqns:
        inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        if inner is None:
            count += 1
        else:
            length = equation.params.get("length", 1)
            count += length * equation_count(getattr(inner, "jaxpr", inner))
    return count


def _bind(primitive: Any, settings: dict[str, Any], *values: Any) -> Sequence[Any]:
    found = primitive.bind(*values, **primitive.get_bind_params(settings))
    return found if primitive.multiple_results else [found]


def scan_counts(settings: dict[str, Any]) -> tuple[int, int]:
    """Return how many of a scan's inputs are constants, and how many are carried."""
    if "num_carry" in settings:
        return settings["num_consts"], settings["num_carry"]
    # From JAX 0.12 on.
    consts, carries, _ = settings["ft_in"].unpack()
    return len(consts), len(carries)


def _unroll(
    program: Program, settings: dict[str, Any], inputs: Sequence[int], where: str
) -> list[int]:
    """Append the body of a scan once for each of its steps."""
    closed, length = settings["jaxpr"], settings["length"]
    consts, carries = scan_counts(settings)
    fixed, carry = list(inputs[:consts]), list(inputs[consts : consts + carries])
    scanned = inputs[consts + carries :]
    steps: list[list[int]] = [[] for _ in range(length)]
    order = reversed(range(length)) if settings["reverse"] else range(length)
    for step in order:
        slices = []
        for value in scanned:
            like = program.shapes[value]
            slices += program.add(
                "index",
                {"index": step},
                functools.partial(_index, step),
                [value],
                [jax.ShapeDtypeStruct(like.shape[1:], like.dtype)],
                where,
            )
        found = _inline(program, closed.jaxpr, closed.consts, [*fixed, *carry, *slices], where)
        carry, steps[step] = found[:carries], found[carries:]
    stacked = []
    for index in range(len(closed.jaxpr.outvars) - carries):
        like = closed.jaxpr.outvars[carries + index].aval
        stacked += program.add(
            "stack",
            {},
            lambda *parts: [jax.numpy.stack(parts)],
            [step[index] for step in steps],
            [jax.ShapeDtypeStruct((length, *like.shape), like.dtype)],
            where,
        )
    return [*carry, *stacked]


def _index(step: int, value: Any) -> list[Any]:
    return [value[step]]


def moved(equation: Equation, indices: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return where each entry of an equation's output comes from, if it only moves entries.

    Args:
      equation: of one input.
      indices: where the entries of the input come from.
      shape: of the output.

    Returns:
      None if entries are computed or repeated.
    """
    settings = equation.settings
    if equation.name in ("convert_element_type", "copy", "copy_p", "optimization_barrier"):
        return indices
    if equation.name == "reshape" and settings.get("dimensions") is None:
        return indices.reshape(shape)
    if equation.name == "squeeze":
        return indices.reshape(shape)
    if equation.name == "broadcast_in_dim":
        return indices.reshape(shape) if math.prod(shape) == indices.size else None
    if equation.name == "transpose":
        return indices.transpose(settings["permutation"])
    if equation.name == "rev":
        return np.flip(indices, settings["dimensions"])
    if equation.name == "slice":
        strides = settings["strides"] or (1,) * indices.ndim
        bounds = zip(settings["start_indices"], settings["limit_indices"], strides, strict=True)
        found: np.ndarray = indices[tuple(slice(*bound) for bound in bounds)]
        return found
    if equation.name == "index":
        row: np.ndarray = indices[settings["index"]]
        return row
    return None
