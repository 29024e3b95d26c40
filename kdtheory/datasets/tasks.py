"""Tasks: what is to be told apart, as a map from the source's classes to the task's classes."""

import dataclasses
import re
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Int32

from kdtheory.datasets.superclasses import ANIMALS, SUPERCLASSES
from kdtheory.errors import InputError, unknown_name


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A classification task made out of a source's k classes."""

    class_map: Int32[np.ndarray, " k"]
    """int32 of shape (k,), the task's class for each of the source's classes; -1 for a class whose
    examples are left out."""
    class_names: tuple[str, ...]
    """The names of the task's classes. With two classes, index 0 is the class of label -1 and index
    1 of +1."""


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


#: Begins the name of a task that tells some of the classes apart: "classes:3,5,8-11".
SUBSET_PREFIX = "classes:"


def check_task(name: str) -> None:
    """Raise unless there is a task of this name; before any data is read.

    Raises:
      InputError: naming the known tasks.

    >>> check_task("classes:0,1")
    """
    if not isinstance(name, str):
        raise InputError(f"a task is named by text, such as 'full', got {name!r}")
    if name not in TASKS and not name.startswith(SUBSET_PREFIX):
        raise InputError(
            f"{unknown_name('task', name, TASKS, registered=True)}; or {SUBSET_PREFIX}A,B,..."
        )


def make_task(name: str, class_names: tuple[str, ...]) -> Task:
    """Return the task of this name for a source with these classes.

    Args:
      name: a key of `TASKS`, or "classes:A,B,..." (see `subset`).

    Raises:
      InputError: if there is no such task, or the classes do not fit it.

    >>> make_task("odd_even", ("a", "b", "c")).class_map
    array([0, 1, 0], dtype=int32)
    """
    check_task(name)
    if len(class_names) < 2:
        raise InputError(f"a task needs at least 2 classes, the data set has {len(class_names)}")
    if name in TASKS:
        return TASKS[name](class_names)
    return subset(name.removeprefix(SUBSET_PREFIX), class_names)


def subset(chosen: str, class_names: tuple[str, ...]) -> Task:
    """Return the task that tells the chosen classes apart and leaves all others' examples out.

    The task's classes have the order in which they are written; of two, the first has label -1.

    Args:
      chosen: separated by commas: names of classes, their indices, or ranges of indices, both ends
        included. A name goes before an index that is written alike.

    Raises:
      InputError: for a class that does not exist, one that is named twice, or fewer than two.

    >>> subset("cat,0-1", ("ant", "bee", "cat", "dog"))
    Task(class_map=array([ 1,  2,  0, -1], dtype=int32), class_names=('cat', 'ant', 'bee'))
    """
    indices: list[int] = []
    for word in (part.strip() for part in chosen.split(",")):
        span = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
        if word in class_names:
            indices.append(class_names.index(word))
        elif span and int(span[1]) <= int(span[2] or span[1]) < len(class_names):
            indices.extend(range(int(span[1]), int(span[2] or span[1]) + 1))
        else:
            raise InputError(
                f"task 'classes:{chosen}': no class {word!r}; allowed: indices 0 to "
                f"{len(class_names) - 1}, ranges such as 0-1, or names such as {class_names[0]!r}"
            )
    if len(indices) < 2 or len(set(indices)) < len(indices):
        raise InputError(
            f"task 'classes:{chosen}' must name at least 2 classes, and none of them twice"
        )
    class_map = np.full(len(class_names), -1, np.int32)
    class_map[indices] = np.arange(len(indices))
    return Task(class_map, tuple(class_names[index] for index in indices))


def binary_task(positive: np.ndarray, negative_name: str, positive_name: str) -> Task:
    """Return the binary task whose +1 class holds the source's classes where `positive` is true.

    Args:
      positive: bool of shape (k,).
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


@register_task("coarse_label")
def coarse_label(class_names: tuple[str, ...]) -> Task:
    """Tell CIFAR-100's 20 superclasses apart, of five classes each.

    Raises:
      InputError: if the source's classes are not those of CIFAR-100.
    """
    return Task(_superclasses("coarse_label", class_names), tuple(SUPERCLASSES))


@register_task("animals")
def animals(class_names: tuple[str, ...]) -> Task:
    """+1 for CIFAR-100's ten superclasses of animals and people, -1 for its ten of things.

    Raises:
      InputError: if the source's classes are not those of CIFAR-100.
    """
    positive = np.array([name in ANIMALS for name in SUPERCLASSES])
    return binary_task(
        positive[_superclasses("animals", class_names)], "plants and things", "animals and people"
    )


def _superclasses(task: str, class_names: tuple[str, ...]) -> np.ndarray:
    """Return int32 of shape (100,), the superclass of each of CIFAR-100's classes.

    Raises:
      InputError: if the source's classes are not those of CIFAR-100.
    """
    found = {name: i for i, members in enumerate(SUPERCLASSES.values()) for name in members}
    if set(class_names) != set(found):
        raise InputError(
            f"task {task!r} is for the 100 classes of CIFAR-100, by name; the data set has "
            f"{len(class_names)} classes, such as {class_names[0]!r}: use task 'full'"
        )
    return np.array([found[name] for name in class_names], np.int32)


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
