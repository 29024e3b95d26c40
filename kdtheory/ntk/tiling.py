"""Blocks of rows and the places of tiles in a Gram matrix."""

import numpy as np


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
