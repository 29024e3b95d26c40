"""Students of several seeds, or of several temperatures too, trained together.

Each student's checkpoints end up where its own training would have put them, and are measured from
there; what is particular to training together lies in a folder that goes when it has ended.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from kdtheory.errors import RunError
from kdtheory.files import write_whole
from kdtheory.rows import Supervision
from kdtheory.runs.config import Together
from kdtheory.runs.context import SeedContext
from kdtheory.runs.store import RunStore, Unit
from kdtheory.runs.supervisors import EarlierRound, provider_of
from kdtheory.training import Checkpoints, Trainer

MEMBERS = "members.json"


class Student(NamedTuple):
    """One student of a run."""

    seed: int
    arm: Supervision
    unit: Unit
    context: SeedContext
    earlier: EarlierRound | None
    """The seed's student trained on labels, for the arms that need it."""

    @property
    def name(self) -> str:
        """What it is called, such as "0-online-tau4"."""
        return f"{self.seed}-{self.arm.slug}"


def arms_together(arms: Sequence[Supervision], together: Together) -> list[list[Supervision]]:
    """Return the arms in their order, those side by side that train together.

    >>> arms = [Supervision("labels", None), Supervision("online", 1.0), Supervision("online", 4.0)]
    >>> [[arm.slug for arm in group] for group in arms_together(arms, "arms")]
    [['labels'], ['online-tau1', 'online-tau4']]
    """
    groups: list[list[Supervision]] = []
    for arm in arms:
        if together == "arms" and groups and groups[-1][0].name == arm.name:
            groups[-1].append(arm)
        else:
            groups.append([arm])
    return groups


def _begun(unit: Unit) -> bool:
    """Return whether a student has trained alone, or has ended its training."""
    return any(any(unit.folder.glob(f"{inside}step-*")) for inside in ("", "resume/"))


def _groups(students: Sequence[Student], store: RunStore) -> Iterator[tuple[Path, list[Student]]]:
    """Return the groups that an earlier call began, then one of the students not begun."""
    by_name = {student.name: student for student in students}
    for path in sorted((store.out / "together").glob(f"*/{MEMBERS}")):
        try:
            names = [str(name) for name in json.loads(path.read_text("utf-8"))]
        except (OSError, ValueError, TypeError) as error:
            raise RunError(
                f"{path} is damaged ({error}); remove {path.parent} to train its students again"
            ) from error
        if set(names) <= set(by_name):
            yield path.parent, [by_name.pop(name) for name in names]
    fresh = [student for student in by_name.values() if not _begun(student.unit)]
    if len(fresh) > 1:
        yield store.out / "together" / f"{fresh[0].name}-and-{len(fresh) - 1}-more", fresh


def train_together(
    students: Sequence[Student],
    trainer: Trainer,
    store: RunStore,
    points: Sequence[int],
    *,
    on_group: Callable[[str, int], None] | None = None,
    on_step: Callable[[int, float], None] | None = None,
    on_done: Callable[[], None] | None = None,
) -> None:
    """Train students of one architecture and one data set together, as far as they are not trained.

    A call that was ended in any way is continued by the next one with the same students: its
    groups stay as they were, since the numbers of stacked networks depend on their company, to
    rounding. Students that have begun to train alone are left to go on alone.

    Args:
      students: with supervisions that differ in numbers alone, or they run interleaved.
      trainer: of all of them.
      store: the run's folder.
      points: steps at which each student's variables are stored.
      on_group: called with (name, number of students) before a group is trained.
      on_step: called with (step, mean loss) after each dispatch.
      on_done: called when a group is trained.

    Raises:
      RunError: a non-finite loss of one of them (its name is in the message), a damaged or full
        store.
      Terminated: SIGTERM; the state of all is saved.
    """
    for folder, group in _groups(students, store):
        names = [student.name for student in group]
        if on_group is not None:
            on_group(folder.name, len(group))
        write_whole(folder / MEMBERS, json.dumps(names) + "\n")
        kept = [Checkpoints(student.unit.folder) for student in group]
        try:
            for step, variables in trainer.train_many(
                [provider_of(s.arm, s.context, s.earlier) for s in group],
                group[0].context.data,
                init_keys=[s.context.init_key for s in group],
                train_keys=[jax.random.fold_in(s.context.key, 2) for s in group],
                points=points,
                folder=folder,
                names=[f"student on {s.arm.slug}, seed {s.seed}" for s in group],
                on_step=on_step,
            ):
                for checkpoints, own in zip(kept, variables, strict=True):
                    if step not in checkpoints.steps():
                        checkpoints.save(step, own)
                for checkpoints in kept:
                    checkpoints.wait()
        finally:
            for checkpoints in kept:
                checkpoints.close()
        # Without its members the folder is no group any more, whatever is left of it.
        (folder / MEMBERS).unlink()
        shutil.rmtree(folder, ignore_errors=True)
        if on_done is not None:
            on_done()
