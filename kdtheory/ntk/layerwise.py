"""Tiles of the kernel from per-example gradients, layer by layer: no Jacobian of the model.

The gradients are `per_example`'s, of few examples at a time; the products of blocks of them are
`contractions`'. What is here chooses the sizes, and keeps what serves again.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from kdtheory.errors import InputError
from kdtheory.memory import WORKING_MEMORY, ReusedSpaces, available, total
from kdtheory.ntk.contractions import Share
from kdtheory.ntk.engines import (
    Plan,
    TileEngine,
    abstract,
    even_size,
    rounded_up,
    too_small,
    tree_bytes,
    used_bytes,
)
from kdtheory.ntk.gradient_programs import compiled
from kdtheory.ntk.tiling import padded
from kdtheory.thread_settings import same_settings
from kdtheory.typing import ApplyFn, Variables

#: Memory for the passes over one chunk on CPU, in bytes: what malloc gives again without a trip to
#: the operating system, whose fresh pages cost more than the passes.
_PASSES_CPU = 24 * 2**20

#: Memory for gradients without a budget, in bytes; a block takes a quarter of it at most.
DEFAULT_BUDGET = 4 * 2**30

#: Kernels whose outputs meet no others: they may be taken in groups, one after another.
_BY_GROUPS = ("trace", "diagonal")

#: Outputs in a group at most, if they are not all in one: the forward pass is then a ninth of the
#: work. More of them leave the caches (ResNet-20, 16 outputs: a pass takes half as long again).
_LARGEST_GROUP = 4

#: So many outputs may be one group.
_ONE_GROUP = 16

#: Where outputs are taken in groups, products are long: so many examples in a block, with which
#: they run at full speed (two cores of an EPYC: of 16 rows at a tenth of it, of 64 at a half).
_GROUP_ROWS = 128

#: Fewer examples in a pass than this and the cost of dispatching shows.
_SMALLEST_CHUNK = 8

#: Rows of the kernel, examples times outputs, in a block: products this large run at full speed.
_BLOCK_ROWS_CPU, _BLOCK_ROWS = 256, 4096

#: Within a budget, blocks are made smaller until this many fit: each streamed block serves them.
_RESIDENT = 6

#: Passes that are under way at a time at most, where memory is counted.
_IN_FLIGHT = 32

#: Passes that are under way at a time on CPU at most.
_THREADS = 8


class LayerwiseEngine(TileEngine):
    """Tiles from per-layer gradients; those of a block are kept while they serve.

    The passes run on few examples at a time (`chunk`), the matrix products on more (a block).
    """

    def __init__(
        self, apply_fn: ApplyFn, variables: Variables, x: np.ndarray, d: int, **names: Any
    ) -> None:
        super().__init__(d=d, **names)
        leaves, structure = jax.tree.flatten(abstract(variables))
        config: Any = jax.config
        self._example = (x.shape[1:], x.dtype)
        self._made_of = (
            apply_fn,
            self.outputs,
            structure,
            tuple((leaf.shape, leaf.dtype) for leaf in leaves),
            self._example,
            self.placement,
            str(config.jax_default_matmul_precision),
        )
        self._dtype = jax.tree.leaves(variables["params"])[0].dtype
        self._rows = d if self.outputs == "full" else 1
        on_cpu = jax.default_backend() == "cpu"
        self._block_rows = _BLOCK_ROWS_CPU if on_cpu else _BLOCK_ROWS
        self._passes = _PASSES_CPU if on_cpu else WORKING_MEMORY
        # Passes that may be under way at a time; None for as many as JAX likes.
        self._window: int | None = None
        # Memory of tiles that wait for the groups of outputs to come.
        self._collected = 0
        # Where blocks of features lie on CPU, and the chunks whose program is compiled.
        self._spaces = ReusedSpaces()
        self._ready: set[tuple[int, int]] = set()
        self._take(1 if self.outputs == "sum" else d)

    def _take(self, m: int) -> None:
        """Compute gradients of m outputs at a time."""
        self._group = m
        self._compiled = compiled(*self._made_of, m)
        # A power of two, which splits evenly where a layer works on parts of a chunk.
        self._chunk = max(
            _SMALLEST_CHUNK, 1 << (self._passes // self._compiled.pass_bytes).bit_length() >> 1
        )

    @property
    def _groups(self) -> int:
        return 1 if self.outputs == "sum" else -(-self.d // self._group)

    def _weights(self, group: int) -> np.ndarray:
        """Return (m, d): the combinations of outputs that a group is; zeros beyond the last."""
        if self.outputs == "sum":
            return np.full((1, self.d), 1 / np.sqrt(self.d), self._dtype)
        return np.eye(self._group, self.d, group * self._group, dtype=self._dtype)

    @property
    def feature_bytes(self) -> int:
        """Memory of one example's gradients."""
        return self._compiled.feature_bytes

    @property
    def pass_bytes(self) -> int:
        """Memory of one example's forward and backward pass."""
        return self._compiled.pass_bytes

    def flops(self, variables: Variables, n: int) -> float:
        """Return what the kernel of n examples takes, by XLA's count, nothing compiled."""
        shape, dtype = self._example
        one = jax.ShapeDtypeStruct((1, *shape), dtype)
        example = self._compiled.example_features
        given = abstract(variables), one, self._weights(0)
        passes = self._compiled.features.lower(*given).cost_analysis() or {}
        pair = self._compiled.tile.lower(example, example).cost_analysis() or {}
        each = n * passes.get("flops", 0.0) + n * (n + 1) / 2 * pair.get("flops", 0.0)
        return self._groups * each

    def block_size(self, n: int, batch_size: int | None) -> int:
        """Return a size for which products are large."""
        return self._block(n, batch_size, max(1, self._block_rows // self._rows))

    def _block(self, n: int, batch_size: int | None, largest: int) -> int:
        """Return a size of at most `largest` examples a device that chunks fill."""
        count = self.placement.count
        if batch_size is not None:
            return rounded_up(min(n, batch_size), count)
        step = min(-(-n // count), largest, self._chunk) * count
        return min(rounded_up(n, count), rounded_up(even_size(n, largest * count), step))

    def plan(self, variables: Variables, n1: int, n2: int, batch_size: int | None) -> Plan:
        """Return blocks for fast products; smaller ones where few of them would fit."""
        self._take(self._group_size(n1, n2))
        while True:
            try:
                return self._planned(variables, n1, n2, batch_size)
            except InputError:
                if self.outputs not in _BY_GROUPS or self._group == 1:
                    raise
                self._take(-(-self._group // 4))

    def _group_size(self, n1: int, n2: int) -> int:
        """Return how many outputs to take at a time, so that little is computed twice.

        A group costs a forward pass, and two backward passes for each of its outputs; a group whose
        gradients do not fit in memory makes passes over blocks that are streamed.
        """
        if self.outputs not in _BY_GROUPS:
            return self._group
        whole = min(DEFAULT_BUDGET, total()) if self.budget is None else self.budget
        each = compiled(*self._made_of, 1).feature_bytes

        def passes(m: int) -> float:
            fitting = max(1.0, whole / (2 * m * each))
            times = (1 + max(1.0, min(n1, n2) / fitting)) / 2
            return -(-self.d // m) * (1 + 2 * m) * times

        sizes = {
            min(1 << power, self.d, _LARGEST_GROUP) for power in range(self.d.bit_length() + 1)
        }
        if self.d <= _ONE_GROUP:
            sizes.add(self.d)
        return min(sizes, key=lambda m: (passes(m), m))

    def _planned(self, variables: Variables, n1: int, n2: int, batch_size: int | None) -> Plan:
        largest = max(1, self._block_rows // self._rows)
        if self._groups > 1:
            largest = min(largest, _GROUP_ROWS)
            each = self._dtype.itemsize * (self.d if self.outputs == "diagonal" else 1)
            self._collected = n1 * n2 * each
        if self.budget is None:
            # Sizes by the whole memory, which does not change; what stays by what is free.
            whole = min(DEFAULT_BUDGET, total())
            largest = min(largest, max(1, whole // (4 * max(1, self._compiled.feature_bytes))))
            rows, columns = (self._block(n, batch_size, largest) for n in (n1, n2))
            each = max(1, max(rows, columns) * self._compiled.feature_bytes)
            free = min(DEFAULT_BUDGET, available() // 2)
            resident = max(1, free // each - 1)
            return Plan(rows, columns, self._chunk, resident, self._groups)
        # A first guess without the compiler, so that few programs are compiled in vain.
        limit = self.budget // (4 * self.placement.count * self._compiled.pass_bytes)
        self._chunk = 1 << max(1, min(self._chunk, limit)).bit_length() - 1
        while True:
            rows, columns = (self._block(n, batch_size, largest) for n in (n1, n2))
            count = max(-(-n1 // rows), -(-n2 // columns))
            last = batch_size is not None or largest == 1
            resident, needed = self._within_budget(variables, rows, columns, last)
            if resident >= (1 if last else min(_RESIDENT, count)):
                return Plan(rows, columns, self._chunk, min(count, resident), self._groups)
            if last:
                raise too_small(self.budget, needed, batch_size)
            largest = -(-largest // 2)

    def _within_budget(
        self, variables: Variables, rows: int, columns: int, last: bool
    ) -> tuple[int, int]:
        """Return how many blocks may stay in memory, and the memory that one alone takes.

        The last candidate takes smaller chunks where that is what it needs.
        """
        assert self.budget is not None
        devices, larger = self.placement.count, max(rows, columns)
        while True:
            chunk = min(larger // devices, self._chunk) * devices
            block = rounded_up(larger, chunk) * self._compiled.feature_bytes
            # The parameters, here and on every device, and beside the blocks that stay: one in
            # parts and joined, or one that every device has as a whole.
            fixed = tree_bytes(variables) * (1 + devices)
            fixed += block * (2 if devices == 1 else devices + 1) + self._collected
            if fixed > self.budget and not last:
                return 0, fixed
            passes = self._pass_bytes(variables, chunk)
            working = fixed + max(passes, self._tile_bytes(rows, columns))
            resident = max(0, self.budget - working) // max(1, block)
            if resident >= 1 or not last or self._chunk == 1:
                spare = self.budget - working - resident * block
                self._window = max(1, min(_IN_FLIGHT, 1 + spare // passes))
                return resident, working + block
            self._chunk //= 2

    def _pass_bytes(self, variables: Variables, chunk: int) -> int:
        """Return the memory of one pass over a chunk on all devices, by the compiler's account."""
        shape, dtype = self._example
        x = self.placement.abstract((chunk, *shape), dtype, rows=True)
        return self.placement.count * used_bytes(
            self._compiled.features, abstract(variables), x, self._weights(0)
        )

    def _tile_bytes(self, rows: int, columns: int) -> int:
        """Return the memory of making one tile on all devices, and of copying it to the host."""
        first = [
            self.placement.abstract((rows, *leaf.shape[1:]), leaf.dtype, rows=True)
            for leaf in jax.tree.leaves(self._compiled.example_features)
        ]
        second = [
            self.placement.abstract((columns, *leaf.shape[1:]), leaf.dtype, rows=False)
            for leaf in jax.tree.leaves(self._compiled.example_features)
        ]
        structure = jax.tree.structure(self._compiled.example_features)
        tile = used_bytes(
            self._compiled.tile,
            jax.tree.unflatten(structure, first),
            jax.tree.unflatten(structure, second),
        )
        return 2 * self.placement.count * tile

    def features(self, variables: Variables, x: np.ndarray, size: int, group: int = 0) -> Any:
        """Return the per-layer gradients of the examples, for one group of outputs."""
        count = self.placement.count
        each = size // count
        chunk = min(each, self._chunk)
        each = rounded_up(each, chunk)
        # Each device's examples are consecutive in the block, so that parts join where they are.
        x = padded(x, each * count).reshape(count, each, *x.shape[1:])
        # Calls one after another, not a compiled loop: in a loop XLA's convolutions on CPU use
        # one thread and are many times slower.
        chunks = [
            x[:, start : start + chunk].reshape(count * chunk, *x.shape[2:])
            for start in range(0, each, chunk)
        ]
        weights = self.placement.everywhere(self._weights(group))

        def run(x: Any) -> list[Share]:
            found: list[Share] = self._compiled.features(variables, x, weights)
            return found

        if self.placement.mesh is None and jax.default_backend() == "cpu" and len(chunks) > 1:
            threads = min(self._window or _THREADS, _THREADS, os.cpu_count() or 1)
            example = self._compiled.example_features
            leaves, structure = jax.tree.flatten(example)
            block = [
                self._spaces.empty((chunk * len(chunks), *leaf.shape[1:]), np.dtype(leaf.dtype))
                for leaf in leaves
            ]
            ready = (self._group, chunk) in self._ready
            self._ready.add((self._group, chunk))
            _into_place(run, chunks, block, threads, ready)
            # On CPU an array that is aligned as XLA wants it is used where it is, without a copy.
            return jax.device_put(jax.tree.unflatten(structure, block))
        parts: list[Any] = []
        for part in chunks:
            if self._window is not None and len(parts) >= self._window:
                jax.block_until_ready(parts[-self._window])
            parts.append(run(self.placement.rows(part)))
        return parts[0] if len(parts) == 1 else self._compiled.join(parts)

    def tile(self, variables: Variables, first: Any, second: Any | None) -> Any:
        """Return the tile of kept gradients: matrix products only."""
        return self._compiled.tile(first, self.as_columns(first) if second is None else second)

    def collect(self, whole: np.ndarray | None, tile: np.ndarray, group: int) -> np.ndarray:
        """Add the tile of one group of outputs, or put it beside those of the others."""
        if self._groups == 1:
            return tile
        if self.outputs == "trace":
            return tile if whole is None else whole + tile
        if whole is None:
            whole = np.empty((self.d, *tile.shape[1:]), tile.dtype)
        start = group * self._group
        whole[start : start + self._group] = tile[: self.d - start]
        return whole

    def squared_norms(self, variables: Variables, x: np.ndarray) -> np.ndarray:
        """Return the squared norms of the per-example gradients."""
        norms = self._compiled.norms(self.features(variables, x, x.shape[0]))
        return np.asarray(norms)[: x.shape[0]]


def _into_place(
    run: Callable[[Any], list[Share]],
    chunks: list[np.ndarray],
    block: list[np.ndarray],
    threads: int,
    ready: bool,
) -> None:
    """Compute the features of all chunks into one block, on CPU.

    Several chunks are under way at a time: the operations of one are too small to keep all cores
    busy (measured with ResNet-20 on two cores: 14 % less time with two). Each chunk's features are
    copied into place as they come.

    Args:
      run: computes the features of a chunk.
      chunks: examples, equally many in each.
      block: where the leaves of the features belong.
      threads: chunks under way at a time.
      ready: the program is compiled; otherwise it is with the first chunk, before others want it.
    """
    size = chunks[0].shape[0]
    same = same_settings()

    def work(index: int) -> None:
        with same():
            part = run(jax.device_put(chunks[index]))
        for whole, leaf in zip(block, jax.tree.leaves(part), strict=True):
            whole[index * size : (index + 1) * size] = np.asarray(leaf)

    if not ready:
        work(0)
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, range(0 if ready else 1, len(chunks))):
            pass
