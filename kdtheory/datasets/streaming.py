"""Batches by Grain, for training splits that do not fit on the device (extra `grain`)."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, Integer, Num

from kdtheory.datasets.image_dataset import Split
from kdtheory.datasets.sampling import generator
from kdtheory.datasets.streamed import StreamedSplit
from kdtheory.errors import InputError

# A stream has no end of its own; Grain wants a length.
_ENDLESS = 2**31 - 1


class StreamBatch(NamedTuple):
    """The examples of one step, in host memory."""

    step: int
    """Number of updates made before this one."""
    images: Num[np.ndarray, "b h w c"]
    """uint8 (or float32) of shape (b, h, w, c): not augmented, not normalised."""
    labels: Int32[np.ndarray, " b"]
    """int32 of shape (b,)."""
    indices: Int32[np.ndarray, " b"]
    """int32 of shape (b,), positions in the training split."""


def stream(
    split: Split | StreamedSplit,
    *,
    batch_size: int,
    seed: int = 0,
    order: Callable[[int], Int32[np.ndarray, " n"]] | None = None,
    start_step: int = 0,
    stop_step: int | None = None,
    threads: int = 2,
    prefetch: int = 8,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[StreamBatch]:
    """Yield the batches of the steps from `start_step` on, read ahead by Grain's threads.

    A batch is a pure function of the split, `batch_size`, `seed` and the step: a stream that starts
    at step s continues one that was stopped there, whatever the number of threads. Every epoch is a
    fresh permutation, and its last, incomplete batch is left out. Augmentation is done on the
    device afterwards: `train_view` in the compiled step.

    Args:
      split: `ImageDataset.train` (in host memory) or `StreamedDataset.train` (read from files).
      batch_size: examples a step, over all processes.
      seed: of the order.
      order: the epoch's number -> positions of all examples in the order of their visits, in place
        of the seed's.
    - `start_step`, `stop_step`: the first step, and the one before which to stop; None: never.
      threads: batches read at the same time; 0 reads in the calling thread.
      prefetch: batches read ahead of the consumer, at least `threads`; this many are in memory.
    - `process_index`, `process_count`: of several processes, each reads its equal part of every
      batch (`jax.process_index()`, `jax.process_count()`).

    Raises:
      InputError: Grain is not installed, or a number that is out of range.

    >>> from kdtheory.datasets import load
    >>> train = load("digits", train_size=100).train
    >>> first = next(stream(train, batch_size=25, seed=0, start_step=6))
    >>> first.step, first.images.shape, bool((first.labels == train.labels[first.indices]).all())
    (6, (25, 8, 8, 1), True)
    """
    steps = _check(
        len(split), batch_size, seed, start_step, stop_step, threads, prefetch, process_index,
        process_count,
    )  # fmt: skip
    grain = _import_grain()
    examples = len(split)
    per_epoch = examples // batch_size

    # Not Grain's own shuffle, which looks up one example at a time: 11 us of CPU an image for a set
    # in memory, 1.6 so (CIFAR-100, batch 128). Two: threads may be on both sides of an epoch's end.
    @functools.lru_cache(maxsize=2)
    def order_of(epoch: int) -> Integer[np.ndarray, " n"]:
        if order is not None:
            return order(epoch)
        return np.argsort(generator(seed, epoch).random(examples), kind="stable")

    def batch(step: int) -> StreamBatch:
        epoch, position = divmod(step, per_epoch)
        rows = order_of(epoch)[position * batch_size :][process_index:batch_size:process_count]
        images = split.images[rows] if isinstance(split, Split) else split.read_images(rows)
        return StreamBatch(int(step), images, split.labels[rows], rows.astype(np.int32))

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    # A generator of its own, so that the errors above are raised by this call.
    return _run(grain.MapDataset.source(steps).map(batch).to_iter_dataset(options))


def _run(dataset: Any) -> Iterator[StreamBatch]:
    iterator = iter(dataset)
    try:
        yield from iterator
    finally:
        iterator.close()


def _check(
    available: int,
    batch_size: int,
    seed: int,
    start_step: int,
    stop_step: int | None,
    threads: int,
    prefetch: int,
    process_index: int,
    process_count: int,
) -> range:
    """Return the steps to read, or raise InputError."""
    if not 1 <= batch_size <= available:
        raise InputError(
            f"batch size must lie between 1 and the {available} training examples, got {batch_size}"
        )
    if not 0 <= process_index < process_count:
        raise InputError(
            f"process_index must be 0 to {process_count - 1} of {process_count} processes, "
            f"got {process_index}"
        )
    if batch_size % process_count:
        raise InputError(
            f"the batch size {batch_size} must be a multiple of the {process_count} processes"
        )
    for name, value, least in (
        ("seed", seed, 0),
        ("start_step", start_step, 0),
        ("threads", threads, 0),
        ("prefetch", prefetch, threads),
    ):
        if value < least:
            raise InputError(f"{name} must be at least {least}, got {value}")
    stop = _ENDLESS if stop_step is None else stop_step
    if stop < start_step:
        raise InputError(f"stop_step must be at least start_step {start_step}, got {stop_step}")
    return range(start_step, stop)


def _import_grain() -> Any:
    try:
        import grain
    except ImportError as error:
        raise InputError(
            "streaming needs Grain: pip install 'kdtheory[grain]' (or load the whole set by "
            "kdtheory.datasets.load)"
        ) from error
    return grain
