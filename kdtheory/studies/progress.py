"""What a run shows while it works: networks done, steps, loss and the time left."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class RunProgress:
    """Progress bars on standard error; one line a network where that is not a terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=quiet or not sys.stderr.isatty(),
        )
        self._plain = not quiet and not sys.stderr.isatty()
        self._reading: TaskID | None = None
        self._networks: TaskID | None = None
        self._network: TaskID | None = None
        self._name = ""
        self._began = 0.0

    def __enter__(self) -> "RunProgress":
        self._bars.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.__exit__(kind, error, traceback)

    def reading(self, done: int, total: int) -> None:
        """Show how many images were read."""
        if self._reading is None:
            self._reading = self._bars.add_task("images read", note="")
        self._bars.update(self._reading, completed=done, total=total)

    def networks(self, total: int) -> None:
        """Say how many networks the run trains."""
        self._networks = self._bars.add_task("networks", total=total, note="")

    def network(self, name: str, steps: int) -> None:
        """Begin a network of so many steps."""
        self._name, self._began = name, time.monotonic()
        if self._network is not None:
            self._bars.remove_task(self._network)
        self._network = self._bars.add_task(name, total=steps, note="")

    def step(self, step: int, loss: float) -> None:
        """Show a step and its loss."""
        if self._network is not None:
            self._bars.update(self._network, completed=step, note=f"loss {loss:.3f}")

    def tile(self, done: int, total: int) -> None:
        """Show how far a kernel is."""
        if self._network is not None:
            self._bars.update(self._network, note=f"kernel, tile {done} of {total}")

    def network_done(self) -> None:
        """End a network."""
        if self._networks is not None:
            self._bars.advance(self._networks)
        if self._plain:
            seconds = time.monotonic() - self._began
            self._console.print(f"{self._name}: {seconds:.1f} s", highlight=False)

    def networks_done(self, count: int) -> None:
        """Say that so many networks were found stored."""
        if self._networks is not None:
            self._bars.advance(self._networks, count)

    def status(self, text: str) -> None:
        """Say what is done now, other than training."""
        if self._network is not None:
            self._bars.update(self._network, description=text, note="")
