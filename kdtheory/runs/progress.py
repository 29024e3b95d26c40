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
from rich.table import Column

from kdtheory.plain_text import plain
from kdtheory.runs.events import Events
from kdtheory.training.event_files import EventFiles, check_tensorboard

#: The weight of the last program in the speed that is shown.
_SMOOTHING = 0.2

#: Where standard error is no terminal, a line is written at least this often, in seconds.
LINE_SECONDS = 60.0


#: After so many seconds of steps the run's duration is estimated.
ESTIMATE_SECONDS = 5.0


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


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(42.0), duration(600.0), duration(7_500.0)
    ('42 s', '10 min', '2 h 05 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


class _Network:
    """The network that is at work: its speed, its last loss and accuracy, its event files."""

    def __init__(
        self, name: str, steps: int, epoch_steps: int, batch_size: int, events: Path | None
    ) -> None:
        self.name = name
        self.accuracy: float | None = None
        self.began = time.monotonic()
        self._steps, self._epoch_steps, self._batch_size = steps, epoch_steps, batch_size
        self._reached = 0
        self._loss: float | None = None
        self._rate: float | None = None
        self._images, self._training_seconds = 0, 0.0
        self._last: tuple[float, int] | None = None
        self._folder = events
        self._events: EventFiles | None = None

    def step(self, step: int, loss: float) -> None:
        now, self._loss, self._reached = time.monotonic(), loss, step
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

    def now(self) -> str:
        """Return a line about where the training is: epoch, loss, speed, accuracy, time left."""
        epochs = f"{self._reached / self._epoch_steps:.1f} of {self._steps / self._epoch_steps:.0f}"
        left = []
        if self._rate:
            seconds = (self._steps - self._reached) * self._batch_size / self._rate
            left = [f"{duration(seconds)} left of its training"]
        return f"{self.name}: " + ", ".join([f"epoch {epochs}", self.note(), *left])

    def expected_seconds(self) -> float | None:
        """Return how long its whole training takes at the speed so far; None before it is known."""
        if self._training_seconds < ESTIMATE_SECONDS:
            return None
        return self._steps * self._batch_size * self._training_seconds / self._images

    def line(self) -> str:
        """Return a line about the network at its end."""
        seconds = time.monotonic() - self.began
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


class RunProgress(Events):
    """Progress bars on standard error; where that is no terminal, a line a network and a minute.

    At 80 columns the bar, the step and the times stay; names and notes are cut.

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
        cut = {"no_wrap": True, "overflow": "ellipsis"}
        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(ratio=3, **cut)),  # type: ignore[arg-type]
            BarColumn(bar_width=12),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[note]}", table_column=Column(ratio=2, **cut)),  # type: ignore[arg-type]
            console=self._console,
            expand=True,
            disable=quiet or not sys.stderr.isatty(),
        )
        self._plain = not quiet and not sys.stderr.isatty()
        self._batch_size, self._events = batch_size, events
        self._reading: TaskID | None = None
        self._networks: TaskID | None = None
        self._bar: TaskID | None = None
        self._network: _Network | None = None
        self._said = time.monotonic()
        self._estimated = False
        self._total, self._done, self._read = 0, 0, 0
        self._seconds: list[float] = []

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
        self._now_and_then(f"{done:,} of {total:,} images read")

    def networks(self, total: int) -> None:
        """Say how many networks the run trains."""
        self._total = total
        self._networks = self._bars.add_task("networks", total=total, note="")

    def network(
        self, name: str, steps: int, *, folder: str, epoch_steps: int = 1, together: int = 1
    ) -> None:
        """Begin a network of so many steps, or several that train together."""
        if self._bar is not None:
            self._bars.remove_task(self._bar)
        self._bar = self._bars.add_task(name, total=steps, note="")
        events = None if self._events is None else self._events / folder
        size = self._batch_size * together
        self._network = _Network(name, steps, epoch_steps, size, events)

    def resumed(self, step: int) -> None:
        """Say from where a network's training goes on."""
        if self._network is not None:
            self.told(f"{self._network.name}: goes on from step {step:,}")

    def step(self, step: int, loss: float) -> None:
        """Show a step, its loss and the speed."""
        if self._network is not None:
            self._network.step(step, loss)
            self._estimate(self._network)
            self._show(completed=step, note=self._network.note())
            self._now_and_then(self._network.now())

    def measured(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show the test accuracy of a point that was just measured."""
        if self._network is not None:
            self._network.measured(step, rows)
            self._show(completed=step, note=self._network.note())

    def tile(self, done: int, total: int) -> None:
        """Show how far a kernel is."""
        self._show(note=f"kernel, tile {done} of {total}")
        if self._network is not None:
            self._now_and_then(f"{self._network.name}: kernel, tile {done} of {total}")

    def network_done(self, *, counted: bool = True) -> None:
        """End a network; not counted are those that are still to be measured."""
        if self._networks is not None and counted:
            self._bars.advance(self._networks)
        if self._network is not None:
            self._network.close()
            if counted:
                self._done += 1
                self._seconds.append(time.monotonic() - self._network.began)
            if self._plain:
                self._say(self._network.line() + self._left())

    def networks_done(self, count: int) -> None:
        """Say that so many networks were found stored."""
        self._read += count
        if self._networks is not None:
            self._bars.advance(self._networks, count)

    def status(self, text: str) -> None:
        """Say what is done now, other than training."""
        self._show(description=text, note="")

    def told(self, text: str) -> None:
        """Say a sentence that stays above the bars."""
        self._say(text)

    def _estimate(self, network: _Network) -> None:
        """Say, once, how long the run will take if all its networks are as its first one."""
        seconds = network.expected_seconds()
        left = self._total - self._done - self._read
        if self._estimated or seconds is None or not left:
            return
        self._estimated = True
        self.told(
            f"{network.name}: its training takes about {duration(seconds)}; {left} networks are to "
            f"be trained: about {duration(left * seconds)} if they are alike, and the measuring"
        )

    def _left(self) -> str:
        """Return how many networks are left, and how long they take if they are as those so far."""
        left = self._total - self._done - self._read
        if left <= 0:
            return ""
        seconds = left * sum(self._seconds) / len(self._seconds) if self._seconds else 0.0
        about = f", about {duration(seconds)}" if seconds >= 1 else ""
        return f" ({left} of {self._total} networks left{about})"

    def _now_and_then(self, text: str) -> None:
        if self._plain and time.monotonic() - self._said >= LINE_SECONDS:
            self._say(text)

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        self._console.print(plain(text), highlight=False, markup=False, soft_wrap=True)

    def _show(self, **what: Any) -> None:
        if self._bar is not None:
            self._bars.update(self._bar, **what)
