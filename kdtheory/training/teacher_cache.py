"""Teachers' logits on the views of trainings, kept on disk: computed once, read by every student.

    folder/3f2a90bc1d5e7788/                        the views of one training (`Views.digest`)
    folder/3f2a90bc1d5e7788/epoch-000007-a90c….npz  an epoch's logits of what teaches in it

Logits are rounded to float16: |g16 - g| <= max(2^-11 |g|, 2^-25); a batch's loss changes by some
parts in 100,000 (benchmarks/README.md). They are rounded whether they
were just computed or read, so that a training's numbers do not depend on what the folder held.
Everything in the folder may be deleted at any time: it is made again.
"""

import contextlib
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float16

from kdtheory.archives import read_archive, write_archive
from kdtheory.digests import Owner
from kdtheory.errors import InputError, RunError
from kdtheory.files import FolderBusyError, locked_folder, refuse_links, remove_temporaries
from kdtheory.memory import format_bytes
from kdtheory.targets.on_views import EpochTables, TeacherOnViews
from kdtheory.targets.providers import Teacher
from kdtheory.training.views import Views

#: Seconds between two looks at a table that another process computes.
_POLL = 0.1

#: Of digests in names of files and folders; whole ones are in the seals.
_DIGITS = 16


@dataclass(kw_only=True)
class TeacherCache:
    """A folder of teachers' logits on views, for any number of trainings and processes.

    What does not fit into the budget is not stored, and computed again by each student; that is
    said once, and changes no number.
    """

    folder: Path
    budget: int
    """Bytes that the folder's files may take."""
    on_full: Callable[[str], None] | None = None
    """Told, once, in one line, that the budget is spent (default: a warning says it)."""
    computed: int = field(default=0, init=False)
    """Epochs whose logits were computed here."""
    read: int = field(default=0, init=False)
    """Epochs whose logits were read."""
    _is_full: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file; teachers' logits are kept in a folder")
        refuse_links(self.folder)

    def taken(self) -> int:
        """Return the bytes of the folder's tables."""
        return sum(path.stat().st_size for path in self.folder.glob("*/*.npz"))

    def summary(self) -> str:
        """Return what was done here, in one line.

        >>> TeacherCache(folder=Path("views"), budget=1).summary()
        "teacher's logits on the students' views: epochs computed 0, read 0; 0B in views"
        """
        return (
            f"teacher's logits on the students' views: epochs computed {self.computed:,}, read "
            f"{self.read:,}; {format_bytes(self.taken())} in {self.folder}"
        )

    def table(
        self,
        owner: Owner,
        shape: tuple[int, ...],
        compute: Callable[[], Float[np.ndarray, "s b d"]],
    ) -> Float16[np.ndarray, "s b d"]:
        """Return an epoch's logits, read where they are stored and else computed and stored.

        Args:
          owner: whose they are: "views", "teacher" and "epoch".
          shape: of the table, (steps, b, d).
          compute: returns it, float32.

        Raises:
          InputError: logits that float16 does not hold.
          RunError: the file holds another's logits, or cannot be read or written.

        Warns:
          UserWarning: the file is damaged; the logits are computed again.
        """
        views, teacher, epoch = (owner.names[name] for name in ("views", "teacher", "epoch"))
        folder = self.folder / str(views)[:_DIGITS]
        path = folder / f"epoch-{epoch:06d}-{str(teacher)[:_DIGITS]}.npz"
        found = self._stored(path, owner, shape)
        if found is not None:
            return found
        if not self._fits(2 * int(np.prod(shape))):
            return self._rounded(compute(), owner)
        with _alone(folder):
            found = self._stored(path, owner, shape)  # whoever was there before may have left it
            if found is None:
                found = self._rounded(compute(), owner)
                write_archive(path, {"logits": found}, owner)
        return found

    def _stored(
        self, path: Path, owner: Owner, shape: tuple[int, ...]
    ) -> Float16[np.ndarray, "s b d"] | None:
        """Return a stored table; None where there is none, or a damaged one."""
        try:
            arrays, wrong = read_archive(path, owner)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror}") from error
        if wrong is None and [(a.shape, a.dtype) for a in arrays.values()] != [(shape, np.float16)]:
            raise RunError(f"{path} holds logits of other batches; remove it")
        if wrong is not None and wrong.foreign:
            raise RunError(f"{path} is another's ({wrong.reason}); remove it")
        if wrong is not None:
            warnings.warn(f"{path} is damaged ({wrong.reason}); it is made again", stacklevel=2)
            path.unlink(missing_ok=True)
            return None
        self.read += 1
        return arrays["logits"]

    def _rounded(
        self, logits: Float[np.ndarray, "s b d"], owner: Owner
    ) -> Float16[np.ndarray, "s b d"]:
        self.computed += 1
        where = f"the teacher's logits on the views of epoch {owner.names['epoch']}"
        if not np.isfinite(logits).all():
            raise InputError(f"{where} are not finite")
        most, largest = float(np.abs(logits).max()), float(np.finfo(np.float16).max)
        # Just above the largest number float16 rounds down; no need to be so fine.
        if most > largest:
            raise InputError(
                f"{where} reach {most:.3g}, and float16 holds {largest:,.0f} at most; train "
                "without the cache of the teacher's logits"
            )
        return logits.astype(np.float16)

    def _fits(self, size: int) -> bool:
        taken = self.taken()
        if taken + size <= self.budget:
            return True
        if not self._is_full:
            self._is_full = True
            told = (
                f"{self.folder} holds {format_bytes(taken)} of teachers' logits and its budget is "
                f"{format_bytes(self.budget)}: further epochs are computed for each student anew"
            )
            if self.on_full is None:
                warnings.warn(told, stacklevel=4)
            else:
                self.on_full(told)
        return False


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder while the context lasts; wait for them before."""
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked_folder(folder))
                break
            except FolderBusyError:
                time.sleep(_POLL)
        remove_temporaries(folder)
        yield


class _StoredTables(EpochTables):
    """The tables of one teacher on the views of one training, through a cache."""

    def __init__(
        self, teacher: Teacher, views: Views, cache: TeacherCache, names: Mapping[str, Any]
    ) -> None:
        self.views = views
        self._teacher, self._cache, self._names = teacher, cache, dict(names)
        self._digests: dict[int, str] = {}
        outputs = jax.eval_shape(
            teacher.apply_fn, teacher.trajectory.final(), views.shape_of_batch
        ).shape[-1]
        self._shape = (views.epoch_steps, views.batch_size, int(outputs))
        self._last: tuple[int, jax.Array] | None = None

    def at(self, step: int) -> Float16[jax.Array, "steps b d"]:
        """Return the table of the epoch in which update number `step` + 1 lies."""
        epoch = step // self.views.epoch_steps
        if self._last is None or self._last[0] != epoch:
            owner = Owner(names={
                "views": self.views.digest, "teacher": self._taught_by(epoch), "epoch": epoch,
            })  # fmt: skip
            table = self._cache.table(owner, self._shape, lambda: self.views.logits(
                self._teacher.apply_fn, self._teacher.trajectory, epoch
            ))  # fmt: skip
            self._last = epoch, jnp.asarray(table)
        return self._last[1]

    def _taught_by(self, epoch: int) -> str:
        """Return the digest of the one checkpoint of an epoch; of several, with their turns'."""
        trajectory = self._teacher.trajectory
        positions = self.views.positions(trajectory, epoch).tolist()
        for place in set(positions) - set(self._digests):
            self._digests[place] = _digest(trajectory.variables, place, self._names)
        taught_by = [self._digests[place] for place in positions]
        if len(set(taught_by)) == 1:
            return taught_by[0]
        return hashlib.sha256(json.dumps(taught_by).encode()).hexdigest()


def cached_teacher(
    teacher: Any, views: Views, cache: TeacherCache, *, names: Mapping[str, Any]
) -> TeacherOnViews:
    """Return a teacher whose logits on a training's batches are computed once and then read.

    What supervises is that of `teacher` on logits that are rounded to float16. Every student of the
    same views shares the logits of each checkpoint in each epoch: offline and online, at every
    temperature, learning rate and alpha, and in every method on logits.

    Args:
      teacher: from `targets.offline`, `online` or `self_distillation`.
      views: of the training that it is for: `trainer.views(data, train_key)`.
      cache: where the logits are kept.
      names: what the teacher's network is besides its variables, such as {"model": "resnet20"}: of
        two networks whose variables have the same names and shapes, nothing else tells.

    Raises:
      InputError: another provider; names that are no JSON.
    """
    if not isinstance(teacher, Teacher):
        raise InputError(
            "a teacher is cached from targets.offline(...), online(...) or self_distillation(...), "
            f"got {type(teacher).__name__}"
        )
    tables = _StoredTables(teacher, views, cache, names)
    return TeacherOnViews(teacher.temperature, teacher.alpha, tables)


def check_views(provider: Any, views: Callable[[], Views]) -> None:
    """Raise InputError if a cached teacher inside a provider belongs to another training.

    Args:
      provider: any target provider; one without a cached teacher always passes.
      views: returns those of the training.
    """
    leaves = jax.tree.leaves(provider, is_leaf=lambda node: isinstance(node, TeacherOnViews))
    for teacher in (node for node in leaves if isinstance(node, TeacherOnViews)):
        known = getattr(teacher.tables, "views", None)
        if known is not None and not known.shows(views()):
            raise InputError(
                "the cached teacher is of another training's views: give cached_teacher the views "
                "of this trainer, these data and this key"
            )


def _digest(variables: Any, place: int, names: Mapping[str, Any]) -> str:
    """Return SHA-256 of a checkpoint and of what is said of its network."""
    digest = hashlib.sha256(json.dumps(dict(names), sort_keys=True).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        array = np.ascontiguousarray(np.asarray(leaf)[place])
        said = [jax.tree_util.keystr(path), list(array.shape), str(array.dtype)]
        digest.update(json.dumps(said).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
