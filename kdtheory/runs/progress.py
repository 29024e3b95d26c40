"""What a run shows while it works: networks done, steps, loss, speed, accuracy, the time left."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

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

from kdtheory.training import EventFiles, check_tensorboard

#: The weight of the last program in the speed that is shown.
_SMOOTHING = 0.2


def scalars(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what TensorBoard shows of a measuring point's rows, by tag.

    >>> scalars([{"kind": "student", "test_accuracy": 0.5, "validation_accuracy": None},
    ...          {"kind": "complexity", "supervision": "online", "supervision_temperature": 4.0,
    ...           "adjusted_complexity": 1.5}])
    {'accuracy/test': 0.5, 'adjusted_complexity/online-tau4': 1.5}
    """
    values: dict[str, float] = {}
    for row in rows:
        if row.get("kind") == "complexity":
            tau = row["supervision_temperature"]
            name = row["supervision"] if tau is None else f"{row['supervision']}-tau{tau:g}"
            values[f"adjusted_complexity/{name}"] = row["adjusted_complexity"]
            continue
        for split in ("train", "validation", "test"):
            accuracy = row.get(f"{split}_accuracy")
            if accuracy is not None:
                values[f"accuracy/{split}"] = accuracy
    return values


class _Network:
    """The network that is at work: its speed, its last loss and accuracy, its event files."""

    def __init__(self, name: str, batch_size: int, events: Path | None) -> None:
        self.name = name
        self.accuracy: float | None = None
        self._batch_size = batch_size
        self._began = time.monotonic()
        self._loss: float | None = None
        self._rate: float | None = None
        self._images, self._training_seconds = 0, 0.0
        self._last: tuple[float, int] | None = None
        self._folder = events
        self._events: EventFiles | None = None

    def step(self, step: int, loss: float) -> None:
        now, self._loss = time.monotonic(), loss
        values = {"loss": loss}
        # Not counted: the first program, which waits for its compilation.
        if self._last is not None and step > self._last[1] and now > self._last[0]:
            images, seconds = (step - self._last[1]) * self._batch_size, now - self._last[0]
            self._images += images
            self._training_seconds += seconds
            rate = images / seconds
            values["images_per_second"] = rate
            self._rate = (
                rate if self._rate is None else self._rate + _SMOOTHING * (rate - self._rate)
            )
        if self._last is None:
            # Training begins or goes on: what was written of later steps was lost with its state.
            self._open(purge_step=step)
        self._last = (now, step)
        self._write(step, values)

    def measured(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        values = scalars(rows)
        self.accuracy = values.get("accuracy/test", self.accuracy)
        self._write(step, values)
        if self._last is not None:
            self._last = (time.monotonic(), step)  # measuring is not training

    def note(self) -> str:
        parts = [] if self._loss is None else [f"loss {self._loss:.3f}"]
        return ", ".join([*parts, *self._speed_and_accuracy(self._rate)])

    def line(self) -> str:
        seconds = time.monotonic() - self._began
        rate = self._images / self._training_seconds if self._training_seconds else None
        return f"{self.name}: " + ", ".join([f"{seconds:.1f} s", *self._speed_and_accuracy(rate)])

    def close(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None

    def _speed_and_accuracy(self, rate: float | None) -> list[str]:
        speed = [] if rate is None else [f"{rate:,.0f} images/s"]
        accuracy = [] if self.accuracy is None else [f"test accuracy {100 * self.accuracy:.1f} %"]
        return speed + accuracy

    def _open(self, *, purge_step: int | None = None) -> None:
        self.close()
        if self._folder is not None:
            self._events = EventFiles(self._folder, purge_step=purge_step)

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        if self._events is None:  # not before: a network that is only read leaves no file
            self._open()
        if self._events is not None:
            self._events.write(step, values)


class RunProgress:
    """Progress bars on standard error; one line a network where that is not a terminal.

    Args:
      quiet: show nothing.
      batch_size: images a step, for the speed.
      events: folder of TensorBoard event files, with a folder for each network; None for none.

    Raises:
      InputError: event files are wanted, and tensorboardX is not installed.
    """

    def __init__(
        self, *, quiet: bool = False, batch_size: int = 1, events: Path | None = None
    ) -> None:
        if events is not None:
            check_tensorboard()
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
        self._batch_size, self._events = batch_size, events
        self._reading: TaskID | None = None
        self._networks: TaskID | None = None
        self._bar: TaskID | None = None
        self._network: _Network | None = None

    def __enter__(self) -> "RunProgress":
        self._bars.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._network is not None:
            self._network.close()
        self._bars.__exit__(kind, error, traceback)

    def reading(self, done: int, total: int) -> None:
        """Show how many images were read."""
        if self._reading is None:
            self._reading = self._bars.add_task("images read", note="")
        self._bars.update(self._reading, completed=done, total=total)

    def networks(self, total: int) -> None:
        """Say how many networks the run trains."""
        self._networks = self._bars.add_task("networks", total=total, note="")

    def network(self, name: str, steps: int, *, folder: str, together: int = 1) -> None:
        """Begin a network of so many steps, or several that train together.

        `folder` is that of their event files.
        """
        if self._bar is not None:
            self._bars.remove_task(self._bar)
        self._bar = self._bars.add_task(name, total=steps, note="")
        events = None if self._events is None else self._events / folder
        self._network = _Network(name, self._batch_size * together, events)

    def step(self, step: int, loss: float) -> None:
        """Show a step, its loss and the speed."""
        if self._network is not None:
            self._network.step(step, loss)
            self._show(completed=step, note=self._network.note())

    def measured(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show the test accuracy of a point that was just measured."""
        if self._network is not None:
            self._network.measured(step, rows)
            self._show(completed=step, note=self._network.note())

    def tile(self, done: int, total: int) -> None:
        """Show how far a kernel is."""
        self._show(note=f"kernel, tile {done} of {total}")

    def network_done(self, *, counted: bool = True) -> None:
        """End a network; not counted are those that are still to be measured."""
        if self._networks is not None and counted:
            self._bars.advance(self._networks)
        if self._network is not None:
            self._network.close()
            if self._plain:
                self._console.print(self._network.line(), highlight=False, soft_wrap=True)

    def networks_done(self, count: int) -> None:
        """Say that so many networks were found stored."""
        if self._networks is not None:
            self._bars.advance(self._networks, count)

    def status(self, text: str) -> None:
        """Say what is done now, other than training."""
        self._show(description=text, note="")

    def _show(self, **what: Any) -> None:
        if self._bar is not None:
            self._bars.update(self._bar, **what)
