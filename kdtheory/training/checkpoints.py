"""Training states on disk, by orbax: written atomically, read back bit for bit."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import jax

from kdtheory.errors import RunError

Tree = TypeVar("Tree")


class Checkpoints:
    """The states of one training, in a folder with one entry a step.

    Saving is asynchronous: `wait` returns when everything is on disk. An entry appears under its
    name only when it is whole, so a killed process leaves either all of a state or none.
    """

    def __init__(self, folder: Path) -> None:
        import orbax.checkpoint as ocp

        self._folder = folder.absolute()
        self._orbax = ocp.StandardCheckpointer()

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Return the stored steps in increasing order."""
        names = (path.name for path in self._folder.glob("step-*") if path.is_dir())
        return sorted(int(name[5:]) for name in names if name[5:].isdigit())

    def save(self, step: int, state: Any) -> None:
        """Begin to write a state; an earlier entry of the same step is replaced.

        Raises:
          RunError: it cannot be written (a full disk).
        """
        with self._writing():
            self._orbax.save(self._path(step), state, force=True)

    def wait(self) -> None:
        """Return when everything saved is on disk.

        Raises:
          RunError: something could not be written (a full disk).
        """
        with self._writing():
            self._orbax.wait_until_finished()

    def restore(self, step: int, like: Tree) -> Tree:
        """Return a stored state.

        Args:
          step: one of `steps()`.
          like: a state, or its abstract form from `jax.eval_shape`, of the same structure.

        Raises:
          RunError: the entry is damaged or has another structure; the message names its folder.
        """
        abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), like)
        path = self._path(step)
        try:
            return self._orbax.restore(path, abstract)
        except Exception as error:  # orbax raises many kinds for a damaged entry
            raise RunError(
                f"checkpoint {path} cannot be read ({_first_line(error)}); "
                "remove that folder to compute it again, or start over with --fresh"
            ) from error

    def remove(self, step: int) -> None:
        """Delete an entry."""
        shutil.rmtree(self._path(step), ignore_errors=True)

    def close(self) -> None:
        """Wait, and release orbax's threads."""
        with self._writing():
            self._orbax.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # orbax raises many kinds, from other threads too
            raise RunError(
                f"cannot write a checkpoint in {self._folder}: {_first_line(error)}"
            ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]
