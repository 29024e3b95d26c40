"""How far a kernel is, on standard error where that is a terminal."""

import contextlib
import datetime
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from kdtheory.ntk.blockwise import Progress as GramProgress


@contextlib.contextmanager
def tile_bar() -> Iterator[Callable[[int, int], None]]:
    """Show a kernel's progress by its tiles.

    Yields:
      The function (tiles done, tiles in all) that `kdtheory.ntk.gram` takes as `on_tile`.
    """
    with _bar(MofNCompleteColumn(), TimeRemainingColumn()) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextlib.contextmanager
def gram_bar() -> Iterator[Callable[[GramProgress], None]]:
    """Show a kernel's progress by the time that the work left will take.

    Tiles alone tell little of it: the first ones of a panel wait for features, and the last do not.

    Yields:
      The function that `kdtheory.ntk.gram` takes as `on_progress`.
    """
    began = time.monotonic()
    with _bar(TextColumn("{task.fields[tiles]}"), TextColumn("{task.fields[left]}")) as bars:
        task = bars.add_task("", total=None, tiles="", left="-:--:--")

        def show(progress: GramProgress) -> None:
            tiles = f"{progress.done}/{progress.total}"
            if progress.seconds_left is None:
                bars.update(task, tiles=tiles)
                return
            elapsed = time.monotonic() - began
            left = str(datetime.timedelta(seconds=round(progress.seconds_left)))
            whole = elapsed + progress.seconds_left
            bars.update(task, completed=elapsed, total=whole, tiles=tiles, left=left)

        yield show


@contextlib.contextmanager
def told_what_is_kept(store: str | None, flags: str) -> Iterator[None]:
    """Say, where a call is interrupted, whether the same command goes on.

    Args:
      store: the folder in which what is measured is kept; None where it is not.
      flags: those that keep it.
    """
    try:
        yield
    except KeyboardInterrupt:
        kept = f"give {flags} to keep what is measured"
        if store is not None:
            kept = f"what is measured is kept in {store}; the same command goes on"
        print(f"\n{kept}", file=sys.stderr)
        raise


def show_bounds(index: int, products: int, lower: float, upper: float) -> None:
    """Show narrowing bounds on one line: what `certify` takes as `on_product`."""
    if sys.stderr.isatty():
        line = f"set {index}: {products} products, {lower:.6g} to {upper:.6g}"
        print(f"\r{line:<78}", end="", file=sys.stderr, flush=True)


def _bar(tiles: ProgressColumn, remaining: ProgressColumn) -> Any:
    return Progress(
        TextColumn("kernel tiles"),
        BarColumn(bar_width=24),
        tiles,
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("remaining"),
        remaining,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
