"""Which tiles of a Gram matrix are computed by whom, and in what order.

A tile (i, j) needs the features of row block i and of column block j. Where not all of them
fit in memory, a *panel* of blocks is pinned and the others are streamed past it, so that each
streamed block serves the whole panel.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: A tile by its row block and its column block.
Tile = tuple[int, int]

#: A block of examples: of "x1" or of "x2" (of "x1" only, in a symmetric matrix).
Block = tuple[str, int]


class Panel(NamedTuple):
    """Tiles that are computed with the same blocks in memory.

    Attributes:
      pinned: blocks whose features stay while the panel lasts.
      streamed: the other block of each tile, one after another, with the tiles that it serves.
    """

    pinned: frozenset[Block]
    streamed: list[tuple[Block, list[Tile]]]


def all_tiles(rows: int, columns: int, *, symmetric: bool) -> list[Tile]:
    """Return the tiles to compute: those on and above the diagonal where `symmetric`.

    >>> all_tiles(2, 2, symmetric=True)
    [(0, 0), (0, 1), (1, 1)]
    """
    return [(i, j) for i in range(rows) for j in range(i if symmetric else 0, columns)]


def share(tiles: Sequence[Tile], index: int, count: int) -> list[Tile]:
    """Return the share of one of `count` processes: equally many tiles, close to each other.

    Blocks are padded to one size, so equally many tiles are equal work. They are cut from Morton's
    Z-curve: a share then touches few blocks (some n / sqrt(count) examples, not n), and a process
    computes the features of no others.

    >>> tiles = all_tiles(4, 4, symmetric=True)
    >>> [share(tiles, index, 2) for index in range(2)]
    [[(0, 0), (0, 1), (1, 1), (0, 2), (1, 2)], [(0, 3), (1, 3), (2, 2), (2, 3), (3, 3)]]
    """
    ordered = sorted(tiles, key=_morton)
    return ordered[len(ordered) * index // count : len(ordered) * (index + 1) // count]


def _morton(tile: Tile) -> int:
    """Return a tile's place on the Z-curve: the bits of row and column interleaved."""
    i, j = tile
    place = 0
    for bit in range(max(i, j).bit_length()):
        place |= (i >> bit & 1) << 2 * bit | (j >> bit & 1) << 2 * bit + 1
    return place


def schedule(
    tiles: Iterable[Tile], resident: int, *, symmetric: bool, pin_columns: bool = False
) -> list[Panel]:
    """Return the panels that compute `tiles` with at most `resident` blocks pinned.

    Args:
      tiles: what is to be computed, in any order.
      resident: blocks pinned at a time, at least 1.
      symmetric: rows and columns are blocks of the same examples.
      pin_columns: pin blocks of columns and stream rows.

    >>> [panel] = schedule([(0, 0), (0, 1), (1, 1)], 2, symmetric=True)
    >>> panel.streamed
    [(('x1', 0), [(0, 0)]), (('x1', 1), [(0, 1), (1, 1)])]
    >>> len(schedule([(0, 0), (0, 1), (1, 1)], 1, symmetric=True))
    2
    """
    other = "x1" if symmetric else "x2"
    pinned_side, streamed_side = (1, 0) if pin_columns else (0, 1)
    names = ("x1", other)
    by_pinned: dict[int, list[Tile]] = {}
    for tile in sorted(tiles):
        by_pinned.setdefault(tile[pinned_side], []).append(tile)
    indices = sorted(by_pinned)
    panels = []
    for start in range(0, len(indices), resident):
        group = indices[start : start + resident]
        streams: dict[int, list[Tile]] = {}
        for index in group:
            for tile in by_pinned[index]:
                streams.setdefault(tile[streamed_side], []).append(tile)
        panels.append(
            Panel(
                frozenset((names[pinned_side], index) for index in group),
                [((names[streamed_side], index), streams[index]) for index in sorted(streams)],
            )
        )
    return panels


def loads(panels: Sequence[Panel]) -> dict[Block, int]:
    """Return how often each block's features are needed anew: once in each panel that has it.

    >>> loads(schedule([(0, 0), (0, 1), (1, 1)], 1, symmetric=True))
    {('x1', 0): 1, ('x1', 1): 2}
    """
    counts: dict[Block, int] = {}
    for panel in panels:
        for block in sorted(panel.pinned | {block for block, _ in panel.streamed}):
            counts[block] = counts.get(block, 0) + 1
    return counts
