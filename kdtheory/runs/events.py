"""What happens in a run, for whoever wants to be told: the terminal, event files, a test."""

from collections.abc import Mapping, Sequence
from typing import Any


class Events:
    """What a run tells while it works. These methods do nothing: a subclass shows what it likes."""

    def reading(self, done: int, total: int) -> None:
        """So many images of so many are read."""

    def networks(self, total: int) -> None:
        """The run trains so many networks."""

    def networks_done(self, count: int) -> None:
        """So many of them were found stored."""

    def network(
        self, name: str, steps: int, *, folder: str, epoch_steps: int = 1, together: int = 1
    ) -> None:
        """A network begins, or several that train together.

        Args:
          name: what it is, in words.
          steps: of its whole training.
          folder: name for what is stored of it.
          epoch_steps: of one epoch.
          together: how many train together.
        """

    def resumed(self, step: int) -> None:
        """The network's training goes on after a step that an earlier call reached."""

    def step(self, step: int, loss: float) -> None:
        """A compiled program has reached a step, with this loss."""

    def tile(self, done: int, total: int) -> None:
        """So many tiles of a kernel are computed."""

    def measured(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """A point was measured: its rows."""

    def network_done(self, *, counted: bool = True) -> None:
        """The network has ended; not counted are those that are still to be measured."""

    def status(self, text: str) -> None:
        """What is done now, other than training."""

    def told(self, text: str) -> None:
        """Say a sentence that stays to be read."""
