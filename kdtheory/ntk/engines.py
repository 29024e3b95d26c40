"""What a method that computes tiles of a Gram matrix does; and neural-tangents as one."""

import abc
import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from kdtheory.ntk import neural_tangents
from kdtheory.ntk.tiling import padded
from kdtheory.typing import ApplyFn, Variables

#: What is kept of the outputs; see `kdtheory.ntk.gram`.
OUTPUTS = ("full", "trace", "diagonal", "sum")

#: Working memory that block sizes are chosen for, in bytes.
WORKING_MEMORY = 2 * 2**30


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


class TileEngine(abc.ABC):
    """A way to compute tiles of the kernel of one model."""

    def __init__(self, *, method: str, reason: str, outputs: str, d: int) -> None:
        self.method, self.reason, self.outputs, self.d = method, reason, outputs, d

    def shape(self, n1: int, n2: int) -> tuple[int, ...]:
        """Return the shape of the whole kernel."""
        return kernel_shape(self.outputs, n1, n2, self.d)

    @abc.abstractmethod
    def block_size(self, n: int, batch_size: int | None) -> int:
        """Return the number of examples in a block of rows, at most n."""

    @abc.abstractmethod
    def keeps(self, count: int, size: int) -> bool:
        """Return whether the features of `count` blocks fit in memory together."""

    @abc.abstractmethod
    def features(self, variables: Variables, x: np.ndarray, size: int) -> Any:
        """Return what tiles need of the examples `x`, padded to `size`."""

    @abc.abstractmethod
    def tile(self, variables: Variables, first: Any, second: Any | None) -> Any:
        """Return the tile of two blocks' features, or of one block with itself."""

    @abc.abstractmethod
    def squared_norms(self, variables: Variables, x: np.ndarray) -> np.ndarray:
        """Return the kernel's diagonal, (n, d) for "full" and (n, 1) for "sum"."""


class NeuralTangentsEngine(TileEngine):
    """Tiles by `neural_tangents.empirical_ntk_fn`; features are the examples themselves."""

    def __init__(
        self, apply_fn: ApplyFn, variables: Variables, x: np.ndarray, d: int, **names: str
    ) -> None:
        super().__init__(d=d, **names)
        self._row_bytes = d * parameter_count(variables) * x.dtype.itemsize
        self._tile = _neural_tangents_tile(apply_fn, self.outputs, self.method)

    def block_size(self, n: int, batch_size: int | None) -> int:
        """Return a size for which two blocks of Jacobians and their copies fit in memory."""
        if batch_size is not None:
            return min(n, batch_size)
        return even_size(n, max(1, WORKING_MEMORY // max(1, 4 * self._row_bytes)))

    def keeps(self, count: int, size: int) -> bool:
        """Return True: the examples are in memory anyway."""
        return True

    def features(self, variables: Variables, x: np.ndarray, size: int) -> Any:
        """Return the examples, padded."""
        return jax.device_put(padded(x, size))

    def tile(self, variables: Variables, first: Any, second: Any | None) -> Any:
        """Return the tile; each call computes the Jacobians anew."""
        with warnings.catch_warnings():
            # neural-tangents hands abstract values to jax.numpy while it is traced.
            warnings.filterwarnings("ignore", "size requires ndarray", DeprecationWarning)
            return self._tile(variables, first, second)

    def squared_norms(self, variables: Variables, x: np.ndarray) -> np.ndarray:
        """Return the diagonal of the examples' tile."""
        tile = np.asarray(self.tile(variables, jax.device_put(x), None))
        if self.outputs == "full":
            return np.einsum("iaia->ia", tile)
        return np.diagonal(tile)[:, None]


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
def _neural_tangents_tile(apply_fn: ApplyFn, outputs: str, method: str) -> Callable[..., Any]:
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

    @jax.jit
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

    return tile
