"""The training loop: dispatches compiled chunks, watches the loss, yields states to keep."""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from kdtheory.errors import InputError, RunError, unknown_name
from kdtheory.targets.tabulated import check_tables
from kdtheory.training.chunk import Together, TrainChunk
from kdtheory.training.epoch_orders import EpochOrders
from kdtheory.training.loaded import LoadedSupervision
from kdtheory.training.parallel_dispatch import side_by_side
from kdtheory.training.sharding import replicate
from kdtheory.training.stacking import (
    Stacked,
    of_one_kind,
    stack_states,
    stack_supervisions,
    unstack_states,
)
from kdtheory.training.state import TrainingData, TrainState

Carry = TypeVar("Carry")

#: Called with (step, loss) after each chunk; of several networks, the mean loss.
OnChunk = Callable[[int, float], None]

#: Called with the step after each chunk that ends at no stop; True yields the state there too.
Pause = Callable[[int], bool]


class NonFiniteLossError(RunError):
    """A training that diverged: the loss is not a number, or infinite."""

    def __init__(
        self, name: str, value: float, step: int, cause: str = "a learning rate that is too high"
    ) -> None:
        super().__init__(
            f"{name}: the loss is {value} at step {step}; likely cause: {cause}; "
            "what was stored before stays"
        )
        self.name, self.value, self.step = name, value, step


@jax.jit
def copied(state: Any) -> Any:
    """Return a copy of a state that is the caller's own."""
    # One program: chunks are donated their state, and whoever holds another copy keeps it.
    return jax.tree.map(jnp.copy, state)


def _not_a_number(supervision: Any) -> bool:
    """Return whether a provider holds NaN or +inf; a logit of -inf rules a class out."""
    floating = (
        leaf
        for leaf in jax.tree.leaves(supervision)
        if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
    )
    return any(bool(jnp.any(jnp.isnan(leaf) | (leaf == jnp.inf))) for leaf in floating)


def _cause(supervision: Any, step: int) -> str:
    """Return the likely cause of a loss that is not finite, at the training's update `step`."""
    if _not_a_number(supervision):
        return "the teacher's parameters or logits are not finite"
    if step == 1:
        return (
            "no update had been made, so it is not the learning rate: images, initial parameters "
            "or the teacher's logits that are not finite"
        )
    return "a learning rate that is too high"


def _check_finite(
    losses: np.ndarray, names: Sequence[str], supervisions: Sequence[Any], first: int
) -> None:
    """Raise for the earliest loss of (networks, steps) that is not finite."""
    bad = ~np.isfinite(losses)
    if bad.any():
        position = int(np.argmax(bad.any(axis=0)))
        network = int(np.argmax(bad[:, position]))
        step = first + position
        cause = _cause(supervisions[network], step)
        raise NonFiniteLossError(names[network], float(losses[network, position]), step, cause)


def dispatched(
    advance: Callable[[Carry, int], tuple[Carry, np.ndarray]],
    carry: Carry,
    *,
    step: int,
    length: int,
    stops: Sequence[int],
    names: Sequence[str],
    supervisions: Sequence[Any],
    on_chunk: OnChunk | None,
    pause: Pause | None,
) -> Iterator[Carry]:
    """Advance program after program, check the losses, and yield at the stops and pauses."""
    for what, steps in (("stops", stops), ("the state's step", [step])):
        for uneven in (other for other in steps if other % length):
            raise InputError(f"{what} must be multiples of {length} steps, got {uneven}")
    if any(later <= earlier for earlier, later in itertools.pairwise(stops)):
        raise InputError(f"stops must increase, got {list(stops)}")
    for stop in stops:
        if stop < step:
            continue
        while step < stop:
            carry, losses = advance(carry, step)
            _check_finite(losses, names, supervisions, step + 1)
            step += length
            if on_chunk is not None:
                on_chunk(step, float(losses[:, -1].mean()))
            if step < stop and pause is not None and pause(step):
                yield carry
        yield carry


def on_devices(loaded: list[Any], mesh: Mesh | None) -> Any:
    """Return the only supervision of a program, on its devices."""
    return loaded[0] if mesh is None else replicate(loaded[0], mesh)


def run(
    chunk: TrainChunk,
    state: TrainState,
    supervision: Any,
    data: TrainingData,
    key: jax.Array,
    *,
    stops: Sequence[int],
    name: str = "training",
    on_chunk: OnChunk | None = None,
    pause: Pause | None = None,
) -> Iterator[TrainState]:
    """Train and yield a copy of the state at each stop.

    A run that starts from a state it yielded earlier makes the same updates, bit for bit: batches
    and augmentation depend on the key and the step alone, and chunks begin at the same steps.

    Args:
      chunk: from `make_train_chunk`.
      state: where to start; copied, so the caller's stays valid.
      supervision: a target provider.
      data: the training split.
      key: PRNG key of the whole training.
      stops: increasing steps (numbers of updates) at which to yield, multiples of the chunk's
        length; stops before the state's step are passed over, one at it yields at once.
      name: what is being trained, for error messages.
      on_chunk: called with (step, loss) after each chunk.
      pause: called with the step after each other chunk; where it returns True, the state is
        yielded too.

    Raises:
      InputError: stops that do not increase or are not multiples of the chunk's length.
      NonFiniteLossError: a loss that is not finite, with the step and the likely cause.
    """
    check_tables(supervision, examples=data.images.shape[0])
    supervision = supervision.aligned(chunk.length)
    if chunk.mesh is not None:
        state, data, key = replicate((state, data, key), chunk.mesh)

    orders = EpochOrders(chunk, key, data.images.shape[0])
    loaded = LoadedSupervision([supervision], functools.partial(on_devices, mesh=chunk.mesh))

    def advance(state: TrainState, step: int) -> tuple[TrainState, np.ndarray]:
        state, losses = chunk.advance(state, loaded.at(step), data, key, orders.at(step))
        return state, np.asarray(losses)[None]

    for reached in dispatched(
        advance, copied(state), step=int(state.step), length=chunk.length,
        stops=stops, names=[name], supervisions=[supervision], on_chunk=on_chunk, pause=pause,
    ):  # fmt: skip
        yield copied(reached)


def default_together(
    params: Any, supervisions: Sequence[Any], backend: str | None = None
) -> Together:
    """Return how several networks run together on a backend.

    Accelerators pack the networks' channels. On CPU "vmap" is fastest for an MLP (mlp128x2, four
    networks on two cores: 1.7 times as fast as in turn, side by side 1.2 times), but XLA's CPU
    convolutions are slow under it: networks with convolutions are "interleaved" (LeNet-5x1: 1.4
    times as fast), and so are supervisions of several kinds, which cannot share a program.

    >>> dense, conv = {"kernel": jnp.zeros((2, 2))}, {"kernel": jnp.zeros((3, 3, 2, 2))}
    >>> default_together(dense, [1.0], "cpu"), default_together(conv, [1.0], "cpu")
    ('vmap', 'interleaved')
    >>> default_together(conv, [1.0], "gpu"), default_together(conv, [1.0, ()], "gpu")
    ('packed', 'interleaved')
    """
    if not of_one_kind(supervisions):
        return "interleaved"
    if (backend or jax.default_backend()) != "cpu":
        return "packed"
    convolutional = any(leaf.ndim > 3 for leaf in jax.tree.leaves(params))
    return "interleaved" if convolutional else "vmap"


def run_many(
    chunk: TrainChunk,
    states: Sequence[TrainState],
    supervisions: Sequence[Any],
    data: TrainingData,
    keys: Sequence[jax.Array],
    *,
    stops: Sequence[int],
    together: str | None = None,
    names: Sequence[str] | None = None,
    on_chunk: OnChunk | None = None,
    pause: Pause | None = None,
) -> Iterator[list[TrainState]]:
    """Train several networks of one architecture at once, and yield copies of all at each stop.

    The networks are the seeds of an arm, or arms that differ only in numbers (temperature, alpha),
    or both. Each one makes the updates that `run` would make with its state, supervision and key,
    so a state can go on alone or in other company: bit for bit with "interleaved", to rounding with
    the other two.

    Args:
      chunk: from `make_train_chunk`.
      states: where each network starts, all at one step.
      supervisions: one target provider a network; give the same object, or providers around the
        same trajectory, where they share a teacher.
      data: the training split, the same for all.
      keys: each network's PRNG key.
      stops: as in `run`.
      together: "interleaved" (each its own program, side by side), "vmap", or "packed" (`vmap` with
        block-diagonal convolutions); default: `default_together`. The last two need supervisions
        of one kind.
      names: what each network is, for error messages.
      on_chunk: called with (step, mean loss) after each chunk.
      pause: as in `run`.

    Raises:
      InputError: as `run`; numbers of states, supervisions and keys that differ, states at
        different steps, supervisions that cannot be stacked.
      NonFiniteLossError: a loss that is not finite; it names the network.
    """
    if together is not None and together not in get_args(Together):
        raise unknown_name("way to run together", together, get_args(Together))
    names = names or [f"network {i}" for i in range(len(states))]
    if not states or len({len(states), len(supervisions), len(keys), len(names)}) > 1:
        raise InputError(
            "every network needs a state, a supervision and a key, got "
            f"{len(states)} states, {len(supervisions)} supervisions, {len(keys)} keys"
        )
    for supervision in supervisions:
        check_tables(supervision, examples=data.images.shape[0])
    supervisions = [supervision.aligned(chunk.length) for supervision in supervisions]
    stacked = stack_states(states)  # checks that they are at one step
    together = together or default_together(
        states[0].params, [each.loaded(int(stacked.step)) for each in supervisions]
    )
    chunks = functools.partial(
        dispatched, step=int(stacked.step), length=chunk.length, stops=stops, names=names,
        supervisions=supervisions, on_chunk=on_chunk, pause=pause,
    )  # fmt: skip
    if together == "interleaved":
        del stacked
        if chunk.mesh is not None:
            states, keys, data = replicate((list(states), list(keys), data), chunk.mesh)

        orders = [EpochOrders(chunk, key, data.images.shape[0]) for key in keys]
        place = functools.partial(on_devices, mesh=chunk.mesh)
        loaded = [LoadedSupervision([supervision], place) for supervision in supervisions]

        def advance_one(network: int, state: TrainState, step: int) -> tuple[TrainState, jax.Array]:
            order, supervision = orders[network].at(step), loaded[network].at(step)
            return chunk.advance(state, supervision, data, keys[network], order)

        with side_by_side(len(states)) as call_each:

            def advance_each(
                states: list[TrainState], step: int
            ) -> tuple[list[TrainState], np.ndarray]:
                reached = call_each(advance_one, range(len(states)), states, [step] * len(states))
                # Fetched once all are dispatched: they run side by side where the backend can.
                return [state for state, _ in reached], np.stack([loss for _, loss in reached])

            for reached in chunks(advance_each, copied(list(states))):
                yield copied(reached)
        return
    stacked_keys = jnp.stack(list(keys))
    if chunk.mesh is not None:
        stacked, data, stacked_keys = replicate((stacked, data, stacked_keys), chunk.mesh)

    def together_on_devices(loaded: list[Any]) -> Stacked:
        one = stack_supervisions(loaded)
        return one if chunk.mesh is None else replicate(one, chunk.mesh)

    all_loaded = LoadedSupervision(supervisions, together_on_devices)
    all_orders = EpochOrders(chunk, stacked_keys, data.images.shape[0])

    def advance_all(stacked: TrainState, step: int) -> tuple[TrainState, np.ndarray]:
        stacked, losses = chunk.advance_many(
            stacked, all_loaded.at(step), data, stacked_keys, together == "packed",
            all_orders.at(step),
        )  # fmt: skip
        return stacked, np.asarray(losses)

    for all_reached in chunks(advance_all, stacked):
        yield unstack_states(all_reached)
