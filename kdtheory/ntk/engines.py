"""What a method that computes tiles of a Gram matrix does; and neural-tangents as one."""

import abc
import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from kdtheory.errors import InputError
from kdtheory.memory import WORKING_MEMORY, format_bytes
from kdtheory.ntk import neural_tangents
from kdtheory.ntk.mesh import Placement
from kdtheory.ntk.tiling import padded
from kdtheory.typing import ApplyFn, Variables

#: What is kept of the outputs; see `kdtheory.ntk.gram`.
OUTPUTS = ("full", "trace", "diagonal", "sum")


def kernel_shape(outputs: str, n1: int, n2: int, d: int) -> tuple[int, ...]:
    """Return the shape of a Gram matrix.

    >>> kernel_shape("full", 2, 3, 10)
    (20, 30)
    """
    if outputs == "full":
        return (n1 * d, n2 * d)
    return (d, n1, n2) if outputs == "diagonal" else (n1, n2)


def parameter_count(variables: Variables) -> int:
    """Return P, the number of entries under "params"."""
    return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(variables["params"]))


class Plan(NamedTuple):
    """The sizes that a matrix is computed by.

    `rows`, `columns` and `chunk` decide how numbers are rounded; they follow from the arguments,
    the sizes and the machine, never from what is free at the moment. `resident` does not.

    Attributes:
      rows: examples in a block of rows.
      columns: examples in a block of columns.
      chunk: examples in one pass through the model.
      resident: blocks whose features may stay in memory together, besides the one in work.
      groups: into which the outputs are divided; features are those of one group at a time, and
        tiles are put together from those of all groups.
    """

    rows: int
    columns: int
    chunk: int
    resident: int
    groups: int = 1


class TileEngine(abc.ABC):
    """A way to compute tiles of the kernel of one model.

    Args:
      method: its name.
      reason: why it was chosen.
      outputs: what is kept of the outputs.
      d: number of outputs.
      budget: memory in bytes to plan with, over all devices; None for what is sensible here.
      placement: the devices.
    """

    def __init__(
        self,
        *,
        method: str,
        reason: str,
        outputs: str,
        d: int,
        budget: int | None = None,
        placement: Placement | None = None,
    ) -> None:
        self.method, self.reason, self.outputs, self.d = method, reason, outputs, d
        self.budget, self.placement = budget, placement or Placement()

    def shape(self, n1: int, n2: int) -> tuple[int, ...]:
        """Return the shape of the whole kernel."""
        return kernel_shape(self.outputs, n1, n2, self.d)

    @abc.abstractmethod
    def block_size(self, n: int, batch_size: int | None) -> int:
        """Return the number of examples in a block of rows."""

    @abc.abstractmethod
    def plan(self, variables: Variables, n1: int, n2: int, batch_size: int | None) -> Plan:
        """Return the sizes for a matrix of n1 by n2 examples, within the budget.

        Raises:
          InputError: no sizes are within the budget; the message names the smallest that can be.
        """

    @abc.abstractmethod
    def features(self, variables: Variables, x: np.ndarray, size: int, group: int = 0) -> Any:
        """Return what tiles need of the examples `x`, padded to `size`; split over the devices.

        Of one group of outputs, where the plan has several.
        """

    def collect(self, whole: np.ndarray | None, tile: np.ndarray, group: int) -> np.ndarray:
        """Return a tile of all outputs with that of one group put in; None before the first."""
        return tile

    def as_columns(self, features: Any) -> Any:
        """Return features as the second argument of `tile`: whole on every device."""
        return features if self.placement.mesh is None else self.placement.everywhere(features)

    @abc.abstractmethod
    def tile(self, variables: Variables, first: Any, second: Any | None) -> Any:
        """Return the tile of a block's features and another's `as_columns`; None for its own."""

    @abc.abstractmethod
    def squared_norms(self, variables: Variables, x: np.ndarray) -> np.ndarray:
        """Return the kernel's diagonal, (n, d) for "full" and (n, 1) for "sum"."""


class NeuralTangentsEngine(TileEngine):
    """Tiles by `neural_tangents.empirical_ntk_fn`; features are the examples themselves."""

    def __init__(
        self, apply_fn: ApplyFn, variables: Variables, x: np.ndarray, d: int, **names: Any
    ) -> None:
        super().__init__(d=d, **names)
        self._example = (x.shape[1:], x.dtype)
        self._row_bytes = d * parameter_count(variables) * x.dtype.itemsize
        self._tile = _neural_tangents_tile(apply_fn, self.outputs, self.method, self.placement)

    def block_size(self, n: int, batch_size: int | None) -> int:
        """Return a size for which two blocks of Jacobians and their copies fit in memory."""
        if batch_size is None:
            memory = WORKING_MEMORY if self.budget is None else min(self.budget, WORKING_MEMORY)
            size = even_size(n, max(1, memory // max(1, 4 * self._row_bytes)))
        else:
            size = min(n, batch_size)
        return rounded_up(size, self.placement.count)

    def plan(self, variables: Variables, n1: int, n2: int, batch_size: int | None) -> Plan:
        """Return the largest blocks whose tile is within the budget, by XLA's own account."""
        rows, columns = self.block_size(n1, batch_size), self.block_size(n2, batch_size)
        while self.budget is not None:
            needed = self._needed(variables, rows, columns)
            if needed <= self.budget:
                break
            smallest = rounded_up(1, self.placement.count)
            if batch_size is not None or max(rows, columns) <= smallest:
                raise too_small(self.budget, needed, batch_size)
            rows, columns = (
                rounded_up(-(-size // 2), self.placement.count) for size in (rows, columns)
            )
        # The examples are in memory anyway.
        return Plan(rows, columns, rows, resident=n1 + n2)

    def _needed(self, variables: Variables, rows: int, columns: int) -> int:
        """Return the memory that computing one tile takes, in bytes."""
        shape, dtype = self._example
        first = self.placement.abstract((rows, *shape), dtype, rows=True)
        second = self.placement.abstract((columns, *shape), dtype, rows=False)
        with _quiet_neural_tangents():
            tile = used_bytes(self._tile, abstract(variables), first, second)
        return self.placement.count * tile + tree_bytes(variables) * (1 + self.placement.count)

    def features(self, variables: Variables, x: np.ndarray, size: int, group: int = 0) -> Any:
        """Return the examples, padded."""
        return self.placement.rows(padded(x, size))

    def tile(self, variables: Variables, first: Any, second: Any | None) -> Any:
        """Return the tile; each call computes the Jacobians anew."""
        if second is None and self.placement.mesh is not None:
            second = self.as_columns(first)
        with _quiet_neural_tangents():
            return self._tile(variables, first, second)

    def squared_norms(self, variables: Variables, x: np.ndarray) -> np.ndarray:
        """Return the diagonal of the examples' tile."""
        tile = np.asarray(self.tile(variables, jax.device_put(x), None))
        if self.outputs == "full":
            return np.einsum("iaia->ia", tile)
        return np.diagonal(tile)[:, None]


@contextlib.contextmanager
def _quiet_neural_tangents() -> Iterator[None]:
    with warnings.catch_warnings():
        # neural-tangents hands abstract values to jax.numpy while it is traced.
        warnings.filterwarnings("ignore", "size requires ndarray", DeprecationWarning)
        yield


def abstract(tree: Any) -> Any:
    """Return the shapes and dtypes of a tree of arrays."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), dict(tree))


def tree_bytes(tree: Any) -> int:
    """Return the memory of a tree of arrays.

    >>> tree_bytes({"a": np.ones(3, np.float32)})
    12
    """
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def used_bytes(compiled: Any, *arguments: Any) -> int:
    """Return the memory that a jitted function takes on a device besides its arguments.

    The compiler's own account: results and temporary buffers. What is compiled for it is not
    compiled again when the function is called.
    """
    account = compiled.lower(*arguments).compile().memory_analysis()
    return int(account.temp_size_in_bytes + account.output_size_in_bytes)


def too_small(budget: int, needed: int, batch_size: int | None) -> InputError:
    """Return the error for a budget that cannot be met."""
    what = "one example at a time" if batch_size is None else f"batch_size {batch_size}"
    return InputError(
        f"memory_budget {format_bytes(budget)} is too small for this model: {what} takes at least "
        f"{format_bytes(needed)}"
    )


def rounded_up(size: int, multiple: int) -> int:
    """Return the least multiple that is not less than `size`.

    >>> rounded_up(5, 4)
    8
    """
    return -(-size // multiple) * multiple


def even_size(n: int, largest: int) -> int:
    """Return the block size that splits n evenly into the fewest blocks of at most `largest`.

    >>> even_size(10, 4)
    4
    >>> even_size(100, 60)
    50
    """
    count = -(-n // largest)
    return -(-n // count)


@functools.lru_cache(maxsize=16)
def _neural_tangents_tile(
    apply_fn: ApplyFn, outputs: str, method: str, placement: Placement
) -> Callable[..., Any]:
    """Return the compiled tile function; kept, so that a later call need not compile again."""
    nt = neural_tangents.load()
    name = (
        "ntk_vector_products"
        if method == "neural_tangents_vector_products"
        else "jacobian_contraction"
    )
    axes: dict[str, Any] = {"trace_axes": (), "diagonal_axes": ()}
    if outputs == "trace":
        axes["trace_axes"] = (-1,)
    elif outputs == "diagonal":
        axes["diagonal_axes"] = (-1,)

    def tile(variables: Variables, first: Any, second: Any | None) -> Any:
        d = jax.eval_shape(apply_fn, variables, first).shape[-1]

        def logits(params: Any, x: Any) -> Any:
            result = apply_fn({**variables, "params": params}, x)
            if outputs == "sum":
                result = result.sum(axis=-1, keepdims=True) / float(np.sqrt(d))
            return result

        kernel = nt.empirical_ntk_fn(
            logits, vmap_axes=0, implementation=neural_tangents.implementation(name), **axes
        )(first, second, variables["params"])
        if outputs == "full":
            return kernel.transpose(0, 2, 1, 3)
        if outputs == "trace":
            return kernel * d  # neural-tangents averages over traced axes
        if outputs == "diagonal":
            return kernel.transpose(2, 0, 1)
        return kernel[:, :, 0, 0]

    return placement.jit(tile, False, True, False, out_axis=1 if outputs == "diagonal" else 0)
