"""What supervises a training's next program, where a provider reads some of it from outside."""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from kdtheory.targets.provider import TargetProvider
from kdtheory.targets.stateful import StatefulMethod


class LoadedSupervision:
    """Calls `TargetProvider.loaded` before each program, and prepares what it gave once.

    Args:
      supervisions: the providers of one program.
      prepared: makes the program's argument of the providers that were loaded, such as by stacking
        them or sending them to devices; called only when an array among them is another one.
    """

    def __init__(
        self,
        supervisions: Sequence[TargetProvider | StatefulMethod],
        prepared: Callable[[list[Any]], Any],
    ) -> None:
        self._supervisions, self._prepare = supervisions, prepared
        self._leaves: list[Any] | None = None
        self._prepared: Any = None

    def at(self, step: int) -> Any:
        """Return the argument of the program that begins after update number `step`."""
        now = [supervision.loaded(step) for supervision in self._supervisions]
        leaves = jax.tree.leaves(now)
        known = self._leaves
        same = known is not None and len(known) == len(leaves)
        if not same or any(a is not b for a, b in zip(leaves, known or (), strict=True)):
            self._leaves, self._prepared = leaves, self._prepare(now)
        return self._prepared
