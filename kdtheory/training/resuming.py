"""A training that survives its process: stored at every point, and now and then between them."""

import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax

from kdtheory.digests import Owner
from kdtheory.errors import RunError
from kdtheory.training.checkpoints import Checkpoints, DamagedCheckpointError
from kdtheory.training.loop import NonFiniteLossError, Pause
from kdtheory.training.state import TrainState
from kdtheory.training.termination import deferred_sigterm, end_order, sigterm_received

#: The state of one network, or of several that train together.
State = TypeVar("State", TrainState, list[TrainState])

#: (state, stops, pause) -> states at the stops and the pauses, such as `run` yields.
Train = Callable[[Any, Sequence[int], Pause], Iterator[Any]]

#: Between two points, the state is saved when this many seconds have passed.
SAVE_SECONDS = 30.0

#: Folder of a second network that a method trains beside the student, at every point.
AUXILIARY = "auxiliary"

#: How many whole states are kept for going on.
KEPT_STATES = 2


def _step_of(state: Any) -> int:
    first = state[0] if isinstance(state, list) else state
    return int(first.step)


def _variables_of(state: Any) -> Any:
    return [one.variables for one in state] if isinstance(state, list) else state.variables


class _Store:
    """The kinds of checkpoints of one training.

    folder/step-*         the variables at each point: what is measured, a teacher's trajectory
    folder/auxiliary/step-*  the variables of a second network that a method trains, at each point
    folder/resume/step-*  the last whole states, optimiser included; gone when training has ended
    """

    def __init__(self, folder: Path, owner: Owner | None, with_peer: bool) -> None:
        self._folder, self._owner, self._with_peer = folder, owner, with_peer
        self.resume_folder = folder / "resume"
        self.points = Checkpoints(folder, owner)
        self.states = Checkpoints(self.resume_folder, owner)

    def save(self, state: Any, *, point: bool) -> None:
        step = _step_of(state)
        if point and step not in self.points.steps():
            # Before the point itself: none is without it.
            if self._with_peer:
                beside = Checkpoints(self._folder / AUXILIARY, self._owner)
                beside.save(step, state.auxiliary.variables)
                beside.close()
            self.points.save(step, _variables_of(state))
            # First the point: a state that goes on from it must not be without it.
            self.points.wait()
        self.states.save(step, state)
        self.states.wait()
        self.states.keep_last(KEPT_STATES)

    def last_state(self, initial: Any, until: int) -> Any:
        """Return the last whole state up to a step; damaged ones are removed, and it is said."""
        for step in reversed(self.states.steps()):
            if step <= until:
                try:
                    return self.states.restore(step, initial)
                except DamagedCheckpointError as error:
                    warnings.warn(
                        f"{error.of_entry}; the training goes on from before", stacklevel=2
                    )
                    self.states.remove(step)
        return initial

    def last_good(self) -> str:
        steps = self.states.steps()
        return f"last good checkpoint: {self.states.path(steps[-1])}" if steps else "none was saved"

    def close(self) -> None:
        self.points.close()
        self.states.close()


def resumable(
    train: Train,
    initial: State,
    *,
    folder: Path,
    points: Sequence[int],
    name: str,
    save_seconds: float | None = None,
    owner: Owner | None = None,
    with_peer: bool = False,
) -> Iterator[tuple[int, Any]]:
    """Train with checkpoints in a folder, and yield (step, variables) at every point.

    Points that are stored are read, not trained again. Training goes on from the last whole state,
    and makes the updates of an unbroken run, bit for bit on the same device. On SIGTERM (inside
    `handle_sigterm`) the state is saved at the end of the compiled program that runs.

    Args:
      train: (state, stops, pause) -> states: `run` or `run_many` with the rest of their arguments.
      initial: the state, or list of states, before the first update.
      folder: where checkpoints lie.
      points: increasing steps to yield at.
      name: what is being trained, for messages.
      save_seconds: between points, the state is saved as often (default: `SAVE_SECONDS`).
      with_peer: whether a point also keeps what a method trains beside the student.
      owner: whose training it is: states of another are refused (default: not compared).

    Yields:
      At each point its step and the variables, or the list of the networks' variables.

    Raises:
      NonFiniteLossError: with the step and the last good checkpoint.
      RunError: a damaged or another's checkpoint of a point, a full disk.
      Terminated: SIGTERM came; the state is saved.

    Warns:
      UserWarning: a state to go on from is damaged or another's; the one before it is taken.
    """
    seconds = SAVE_SECONDS if save_seconds is None else save_seconds
    store = _Store(folder, owner, with_peer)
    try:
        abstract = jax.eval_shape(_variables_of, initial)
        stored = store.points.steps()
        remaining = list(points)
        while remaining and remaining[0] in stored:
            point = remaining.pop(0)
            yield point, store.points.restore(point, abstract)
        if remaining:
            yield from _go_on(train, initial, store, remaining, name, seconds)
        shutil.rmtree(store.resume_folder, ignore_errors=True)
    finally:
        store.close()


def _go_on(
    train: Train, initial: Any, store: _Store, points: list[int], name: str, seconds: float
) -> Iterator[tuple[int, Any]]:
    start = store.last_state(initial, points[0])
    saved = time.monotonic()
    states = train(
        start, points, lambda _: sigterm_received() or time.monotonic() - saved >= seconds
    )
    while True:
        # Numbers are made and stored undisturbed; what the caller does with them is not our part.
        with deferred_sigterm():
            try:
                state = next(states, None)
            except NonFiniteLossError as error:
                raise RunError(f"{error}; {store.last_good()}") from error
            if state is None:
                return
            step = _step_of(state)
            store.save(state, point=step in points)
            saved = time.monotonic()
            if sigterm_received():
                raise end_order(f"{name} is saved at step {step}")
        if step in points:
            yield step, _variables_of(state)
