"""Several networks' programs at the same time on one CPU."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

from kdtheory.thread_settings import same_settings


@contextlib.contextmanager
def side_by_side(count: int, backend: str | None = None) -> Iterator[Callable[..., list[Any]]]:
    """Give a function like `map` (it returns a list), whose calls run side by side on CPUs.

    XLA on CPU runs what one thread dispatches one after another, and a small network's step leaves
    cores idle; programs that several threads dispatch run together (LeNet-5x1, four networks, two
    cores: 1.4 times as fast). Accelerators queue what they are given, so one thread serves them.
    The first round is made one by one: what all of them share is compiled in it, once.

    Args:
      count: of calls in a round.
      backend: default: JAX's own.

    >>> with side_by_side(2) as call_each:
    ...     [call_each(pow, [2, 3], [n, n]) for n in (1, 2)]
    [[2, 3], [4, 9]]
    """
    if count < 2 or (backend or jax.default_backend()) != "cpu":
        yield lambda function, *arguments: list(map(function, *arguments))
        return
    rounds, same = 0, same_settings()
    with ThreadPoolExecutor(count, thread_name_prefix="kdtheory") as pool:

        def call_each(function: Callable[..., Any], *arguments: Any) -> list[Any]:
            nonlocal rounds
            rounds += 1
            if rounds == 1:
                return list(map(function, *arguments))

            def alike(*own: Any) -> Any:
                with same():
                    return function(*own)

            return list(pool.map(alike, *arguments))

        yield call_each
