"""Blocks of rows and the places of tiles in a Gram matrix."""

from collections.abc import Sequence

import numpy as np

from kdtheory.ntk.schedule import Tile


def blocks(n: int, size: int) -> list[slice]:
    """Return consecutive slices of `size` examples that cover 0..n; the last may be shorter.

    >>> blocks(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def padded(x: np.ndarray, size: int) -> np.ndarray:
    """Return `x` with its last example repeated up to `size` examples.

    A ragged block so keeps the shape that was compiled; an example that exists cannot produce a
    value that is not finite where the others do not.

    >>> padded(np.arange(3), 5)
    array([0, 1, 2, 2, 2])
    """
    missing = size - x.shape[0]
    return x if missing == 0 else np.concatenate([x, np.repeat(x[-1:], missing, axis=0)])


def fill(
    kernel: np.ndarray,
    tile: np.ndarray,
    row: slice,
    column: slice,
    outputs: str,
    *,
    symmetric: bool,
) -> np.ndarray:
    """Write a tile, and where `symmetric` its transpose, at its place; return what was written.

    Args:
      kernel: the matrix, in the shape of `outputs`; changed in place.
      tile: (b1, d, b2, d) for "full", (d, b1, b2) for "diagonal", else (b1, b2); examples beyond
        the slices are padding.
      row: the tile's examples among the rows.
      column: the tile's examples among the columns.
      outputs: as for `gram`.
      symmetric: write the transposed tile too; a tile on the diagonal is made exactly symmetric.

    >>> k = np.zeros((2, 2))
    >>> _ = fill(k, np.ones((1, 1)), slice(0, 1), slice(1, 2), "trace", symmetric=True)
    >>> k
    array([[0., 1.],
           [1., 0.]])
    """
    n1, n2 = row.stop - row.start, column.stop - column.start
    here: tuple[slice, ...]
    mirrored: tuple[slice, ...]
    if outputs == "full":
        tile = tile[:n1, :, :n2]
        d = tile.shape[1]
        kernel = kernel.reshape(kernel.shape[0] // d, d, kernel.shape[1] // d, d)
        transposed = tile.transpose(2, 3, 0, 1)
        here, mirrored = np.s_[row, :, column], np.s_[column, :, row]
    elif outputs == "diagonal":
        tile = tile[:, :n1, :n2]
        transposed = tile.transpose(0, 2, 1)
        here, mirrored = np.s_[:, row, column], np.s_[:, column, row]
    else:
        tile = tile[:n1, :n2]
        transposed = tile.T
        here, mirrored = np.s_[row, column], np.s_[column, row]
    if symmetric and row == column:
        kernel[here] = (tile + transposed) / 2
    else:
        kernel[here] = tile
        if symmetric:
            kernel[mirrored] = transposed
    return tile


class Assembly:
    """A Gram matrix that grows tile by tile, on the host.

    Args:
      shape: of the whole matrix.
      outputs: as for `gram`.
      rows: the blocks of rows.
      columns: the blocks of columns.
      symmetric: each tile is written twice.

    >>> half = [slice(0, 1), slice(1, 2)]
    >>> matrix = Assembly((2, 2), "trace", half, half, symmetric=True)
    >>> for place in [(0, 0), (0, 1), (1, 1)]:
    ...     _ = matrix.put(place, np.full((1, 1), sum(place)))
    >>> matrix.whole()
    array([[0, 1],
           [1, 2]])
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: str,
        rows: Sequence[slice],
        columns: Sequence[slice],
        *,
        symmetric: bool,
    ) -> None:
        self._shape, self._outputs, self._symmetric = shape, outputs, symmetric
        self._rows, self._columns = rows, columns
        self._kernel: np.ndarray | None = None
        self.placed: set[Tile] = set()

    def put(self, place: Tile, tile: np.ndarray) -> np.ndarray:
        """Write a tile; return its entries without padding."""
        if self._kernel is None:
            self._kernel = np.empty(self._shape, tile.dtype)
        self.placed.add(place)
        return fill(
            self._kernel,
            tile,
            self._rows[place[0]],
            self._columns[place[1]],
            self._outputs,
            symmetric=self._symmetric,
        )

    def whole(self) -> np.ndarray:
        """Return the matrix, which every tile must have been put into."""
        if self._symmetric:
            count = len(self._rows) * (len(self._rows) + 1) // 2
        else:
            count = len(self._rows) * len(self._columns)
        assert self._kernel is not None
        assert len(self.placed) == count
        return self._kernel
