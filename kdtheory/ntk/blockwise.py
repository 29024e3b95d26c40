"""Computing tiles of a Gram matrix one after another, each block's features once where they fit."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from kdtheory.memory import give_back
from kdtheory.ntk.engines import Plan, TileEngine, tree_bytes
from kdtheory.ntk.schedule import Block, Panel, Tile, loads, schedule
from kdtheory.ntk.spill import Spill
from kdtheory.typing import Variables


class Progress(NamedTuple):
    """How far the computation of a kernel is.

    Attributes:
      done: tiles that are done.
      total: tiles in all.
      seconds_left: an estimate from what features and tiles took so far; None before there is one.
    """

    done: int
    total: int
    seconds_left: float | None


class Clock:
    """What the kinds of work took so far, and how much of each is left.

    >>> clock = Clock({"tile": 3})
    >>> clock.seconds_left() is None
    True
    >>> for seconds in (9.0, 2.0):  # the first includes compilation
    ...     clock.add("tile", seconds)
    >>> clock.seconds_left()
    2.0
    """

    def __init__(self, counts: dict[str, int]) -> None:
        self._left = dict(counts)
        self._taken: dict[str, list[float]] = {kind: [] for kind in counts}

    def add(self, kind: str, seconds: float) -> None:
        """Count one piece of work as done."""
        self._left[kind] -= 1
        self._taken[kind].append(seconds)

    def mean(self, kind: str) -> float | None:
        """Return what a piece of work takes; the first, which includes compilation, left out."""
        taken = self._taken[kind]
        return None if not taken else float(np.mean(taken[1:] or taken))

    def seconds_left(self) -> float | None:
        """Return the time that the rest will take; None where a kind of work was not seen yet."""
        total = 0.0
        for kind, count in self._left.items():
            if count > 0:
                mean = self.mean(kind)
                if mean is None:
                    return None
                total += count * mean
        return total


class Blockwise:
    """The blocks of one Gram matrix, and the tiles they make.

    Args:
      engine: how features and tiles are computed.
      plan: the sizes.
      variables: the model's variables.
      x1: examples of the rows.
      x2: examples of the columns; None for those of the rows.
      rows: the blocks of rows.
      columns: the blocks of columns.
    """

    def __init__(
        self,
        engine: TileEngine,
        plan: Plan,
        variables: Variables,
        x1: np.ndarray,
        x2: np.ndarray | None,
        rows: Sequence[slice],
        columns: Sequence[slice],
    ) -> None:
        self._engine, self._plan = engine, plan
        self._variables = engine.placement.everywhere(variables)
        self._examples = {
            "x1": (x1, rows, plan.rows),
            "x2": (x1 if x2 is None else x2, columns, plan.columns),
        }
        self._symmetric = x2 is None
        # Whether freed memory must be free at once.
        self._tight = False
        # What computing a block's features takes; the least seen, as the first is compiled.
        self._seconds = float("inf")

    def tiles(
        self, wanted: Sequence[Tile], spill: Spill
    ) -> Iterator[tuple[Tile, np.ndarray, float | None]]:
        """Compute tiles.

        Yields:
          Each tile's place, the tile, and an estimate of the seconds left.
        """
        # The longer side is streamed; on a mesh the rows are, as they must stay split, pinned.
        single = self._engine.placement.mesh is None
        pin_columns = single and not self._symmetric and _fewer_columns(wanted)
        panels = schedule(
            wanted, self._plan.resident, symmetric=self._symmetric, pin_columns=pin_columns
        )
        groups = range(self._plan.groups)
        ahead = {
            (block, group): count for block, count in loads(panels).items() for group in groups
        }
        self._tight = self._engine.budget is not None or len(panels) > 1
        clock = Clock({"features": sum(ahead.values()), "tile": len(wanted) * len(groups)})
        for panel in panels:
            whole: dict[Tile, np.ndarray] = {}
            for group in groups:
                for place, tile in self._panel(panel, group, ahead, clock, spill, pin_columns):
                    collected = self._engine.collect(whole.pop(place, None), tile, group)
                    if group == groups[-1]:
                        yield place, collected, clock.seconds_left()
                    else:
                        whole[place] = collected

    def _panel(
        self,
        panel: Panel,
        group: int,
        ahead: dict[tuple[Block, int], int],
        clock: Clock,
        spill: Spill,
        pin_columns: bool,
    ) -> Iterator[tuple[Tile, np.ndarray]]:
        """Compute the tiles of one panel and one group of outputs."""
        pinned: dict[Block, Any] = {}
        columns = "x1" if self._symmetric else "x2"

        def load(block: Block) -> Any:
            if block in pinned:
                return pinned[block]
            features = self._features(block, group, ahead, clock, spill)
            if block in panel.pinned:
                pinned[block] = features
            return features

        for streamed, tiles in panel.streamed:
            moving = load(streamed)
            if not pin_columns:
                moving = self._engine.as_columns(moving)
            for i, j in tiles:
                first = moving if pin_columns else load(("x1", i))
                second = load((columns, j)) if pin_columns else moving
                began = time.perf_counter()
                on_diagonal = self._symmetric and i == j and self._engine.placement.mesh is None
                tile = np.asarray(
                    self._engine.tile(self._variables, first, None if on_diagonal else second)
                )
                clock.add("tile", time.perf_counter() - began)
                yield (i, j), tile
            # Before the next block's features come into being.
            del moving, first, second

    def _features(
        self,
        block: Block,
        group: int,
        ahead: dict[tuple[Block, int], int],
        clock: Clock,
        spill: Spill,
    ) -> Any:
        """Return a block's features, computed or read again."""
        key = (block, group)
        began = time.perf_counter()
        if self._tight:
            give_back()
        if key in spill:
            features = spill.read(key)
            if self._engine.placement.mesh is None:
                features = jax.device_put(features)
            else:
                features = jax.tree.map(self._engine.placement.rows, features)
        else:
            x, blocks, size = self._examples[block[0]]
            features = self._engine.features(self._variables, x[blocks[block[1]]], size, group)
            jax.block_until_ready(features)
            self._seconds = min(self._seconds, time.perf_counter() - began)
            if spill.pays(tree_bytes(features), ahead[key] - 1, self._seconds):
                spill.write(key, features)
        ahead[key] -= 1
        clock.add("features", time.perf_counter() - began)
        return features


def _fewer_columns(wanted: Sequence[Tile]) -> bool:
    return len({j for _, j in wanted}) < len({i for i, _ in wanted})
