"""Tasks: what is to be told apart, as a map from the source's classes to the task's classes."""

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Int32

from kdtheory.errors import InputError, unknown_name


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A classification task made out of a source's k classes.

    - `class_map`: int32 of shape (k,), the task's class for each of the source's classes.
    - `class_names`: the names of the task's classes. With two classes, index 0 is the class of
      label -1 and index 1 of +1.
    """

    class_map: Int32[np.ndarray, " k"]
    class_names: tuple[str, ...]


#: Makes a task out of the source's class names.
TaskMaker: TypeAlias = Callable[[tuple[str, ...]], Task]

#: Every task by name; `register_task` adds one.
TASKS: dict[str, TaskMaker] = {}


def register_task(name: str) -> Callable[[TaskMaker], TaskMaker]:
    """Return a decorator that makes a task available to `load` under a name.

    >>> @register_task("first_against_rest")
    ... def first_against_rest(class_names: tuple[str, ...]) -> Task:
    ...     return binary_task(np.arange(len(class_names)) == 0, "the rest", class_names[0])
    >>> make_task("first_against_rest", ("cat", "dog", "eel")).class_map
    array([1, 0, 0], dtype=int32)
    >>> del TASKS["first_against_rest"]

    Raises:
        InputError: if the name is taken.
    """

    def register(maker: TaskMaker) -> TaskMaker:
        if name in TASKS:
            raise InputError(f"a task named {name!r} exists already")
        TASKS[name] = maker
        return maker

    return register


def make_task(name: str, class_names: tuple[str, ...]) -> Task:
    """Return the task of this name for a source with these classes.

    Raises:
        InputError: if there is no such task, or the classes do not fit it.

    >>> make_task("odd_even", ("a", "b", "c")).class_map
    array([0, 1, 0], dtype=int32)
    """
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    if len(class_names) < 2:
        raise InputError(f"a task needs at least 2 classes, the data set has {len(class_names)}")
    return TASKS[name](class_names)


def binary_task(positive: np.ndarray, negative_name: str, positive_name: str) -> Task:
    """Return the binary task whose +1 class holds the source's classes where `positive` is true.

    - `positive`: bool of shape (k,).
    """
    return Task(positive.astype(np.int32), (negative_name, positive_name))


@register_task("full")
def full(class_names: tuple[str, ...]) -> Task:
    """Tell all the source's classes apart."""
    return Task(np.arange(len(class_names), dtype=np.int32), class_names)


@register_task("ten")
def ten(class_names: tuple[str, ...]) -> Task:
    """Tell all classes apart, of which there must be ten.

    Raises:
        InputError: if the source does not have ten classes.
    """
    if len(class_names) != 10:
        raise InputError(
            f"task 'ten' is for ten classes, the data set has {len(class_names)}: use task 'full'"
        )
    return full(class_names)


@register_task("first_half")
def first_half(class_names: tuple[str, ...]) -> Task:
    """+1 for the classes below k / 2, -1 for the others: binary CIFAR-100 is 0-49 against 50-99."""
    k = len(class_names)
    half = (k + 1) // 2
    return binary_task(np.arange(k) < half, _span(half, k), _span(0, half))


@register_task("odd_even")
def odd_even(class_names: tuple[str, ...]) -> Task:
    """+1 for odd class indices, -1 for even ones."""
    return binary_task(np.arange(len(class_names)) % 2 == 1, "even classes", "odd classes")


@register_task("even_odd")
def even_odd(class_names: tuple[str, ...]) -> Task:
    """+1 for even class indices, -1 for odd ones."""
    return binary_task(np.arange(len(class_names)) % 2 == 0, "odd classes", "even classes")


def _span(start: int, stop: int) -> str:
    return f"class {start}" if stop - start == 1 else f"classes {start}-{stop - 1}"
