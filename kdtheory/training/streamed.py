"""Training from a stream: batches that come from the host, for splits that the device cannot hold.

The steps are those of `run`; only where a batch comes from differs.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Float

from kdtheory.datasets.streaming import StreamBatch
from kdtheory.errors import InputError
from kdtheory.training.chunk import TrainChunk
from kdtheory.training.loaded import LoadedSupervision
from kdtheory.training.loop import OnChunk, Pause, copied, dispatched, on_devices
from kdtheory.training.sharding import replicate
from kdtheory.training.state import Batch, HostBatches, TrainState
from kdtheory.typing import ArrayLike


def _on_device(chunk: TrainChunk, batches: Sequence[StreamBatch]) -> Batch:
    """Send the batches of one program: arrays (steps, b, ...)."""
    stacked = Batch(
        np.stack([batch.images for batch in batches]),
        np.stack([batch.labels for batch in batches]),
        np.stack([batch.indices for batch in batches]),
    )
    if chunk.mesh is None:
        return jax.device_put(stacked)
    # Each process sends its part of every batch.
    sharding = NamedSharding(chunk.mesh, PartitionSpec(None, chunk.mesh.axis_names))
    return jax.tree.map(
        lambda rows: jax.make_array_from_process_local_data(sharding, rows), stacked
    )


class _Source:
    """Batches of whole programs, in order."""

    def __init__(
        self, chunk: TrainChunk, batches: Callable[..., Iterator[StreamBatch]], step: int, stop: int
    ) -> None:
        self._chunk, self._step, self._stop = chunk, step, stop
        self._batches = batches(start_step=step, stop_step=stop)
        self._ready: Batch | None = None

    def take(self) -> Batch:
        """Return the next program's batches, on their way to the device.

        Raises:
          InputError: batches of other steps, or too few of them.
        """
        ready, self._ready = self._ready, None
        return self._read() if ready is None else ready

    def read_ahead(self) -> None:
        """Read the batches that `take` will return, unless there are none left to read."""
        if self._ready is None and self._step < self._stop:
            self._ready = self._read()

    def _read(self) -> Batch:
        wanted = range(self._step, self._step + self._chunk.length)
        batches = list(itertools.islice(self._batches, len(wanted)))
        got = [int(batch.step) for batch in batches]
        if got != list(wanted):
            raise InputError(
                f"the stream must have the steps {wanted[0]} to {wanted[-1]} in order, got {got}"
            )
        self._step = wanted.stop
        return _on_device(self._chunk, batches)

    def close(self) -> None:
        """End the stream's threads, where it has any."""
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()


def run_streamed(
    chunk: TrainChunk,
    state: TrainState,
    supervision: Any,
    batches: Callable[..., Iterator[StreamBatch]],
    key: jax.Array,
    *,
    mean: Float[ArrayLike, " c"],
    std: Float[ArrayLike, " c"],
    stops: Sequence[int],
    name: str = "training",
    on_chunk: OnChunk | None = None,
    pause: Pause | None = None,
) -> Iterator[TrainState]:
    """Train on batches from the host, and yield a copy of the state at each stop.

    On the same batches it makes the updates of `run`. While a program runs, the next one's batches
    are read and sent to the device, so that two programs' batches are there at a time. Batches are
    a function of the step (`datasets.stream`), so a run that starts from a state it yielded earlier
    makes the same updates, bit for bit; `resumable` takes it as it takes `run`.

    Args:
      chunk: from `make_train_chunk`; its length is the number of batches that are sent together.
      state: where to start; copied, so the caller's stays valid.
      supervision: a target provider.
      batches: (start_step, stop_step), by keyword, -> the batches of these steps, such as
        `functools.partial(datasets.stream, dataset.train, batch_size=128, seed=0)`.
      key: PRNG key of augmentation and dropout; the order is the stream's.
      mean: the training split's mean (c,), in units of pixel / 255.
      std: the training split's standard deviation (c,), in the same units.
      stops: as in `run`.
      name: what is being trained, for error messages.
      on_chunk: called with (step, loss) after each chunk.
      pause: as in `run`.

    Raises:
      InputError: as `run`; a stream that ends too early or has other steps.
      NonFiniteLossError: a loss that is not finite, with the step and the likely cause.
    """
    supervision = supervision.aligned(chunk.length)
    mean, std = jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)
    if chunk.mesh is not None:
        state, mean, std, key = replicate((state, mean, std, key), chunk.mesh)
    loaded = LoadedSupervision([supervision], functools.partial(on_devices, mesh=chunk.mesh))
    step = int(state.step)
    source: _Source | None = None

    def advance(state: TrainState, at: int) -> tuple[TrainState, np.ndarray]:
        nonlocal source
        if source is None:  # not before the stops are checked
            source = _Source(chunk, batches, step, stops[-1])
        now = HostBatches(source.take(), mean, std)
        state, losses = chunk.advance_on(state, loaded.at(at), now, key)
        source.read_ahead()  # while the device is at work
        return state, np.asarray(losses)[None]

    try:
        for reached in dispatched(
            advance, copied(state), step=step, length=chunk.length,
            stops=stops, names=[name], supervisions=[supervision], on_chunk=on_chunk, pause=pause,
        ):  # fmt: skip
            yield copied(reached)
    finally:
        if source is not None:
            source.close()
