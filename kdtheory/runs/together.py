"""Students of several seeds, or of several temperatures too, trained together.

Each student's checkpoints end up where its own training would have put them, and are measured from
there; what is particular to training together lies in a folder that goes when it has ended.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kdtheory.arms import Supervision
from kdtheory.digests import Owner
from kdtheory.errors import RunError
from kdtheory.files import read_json, write_whole
from kdtheory.runs.config import Together
from kdtheory.runs.events import Events
from kdtheory.runs.network import Network, last_step
from kdtheory.training import Checkpoints

MEMBERS = "members.json"


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


def _groups(
    networks: Mapping[str, Network], home: Path
) -> Iterator[tuple[Path, dict[str, Network]]]:
    """Return the groups that an earlier call began, then one of the networks not begun."""
    rest = dict(networks)
    for path in sorted(home.glob(f"*/{MEMBERS}")):
        try:
            names = [str(name) for name in read_json(path)]
        except (OSError, ValueError, TypeError) as error:
            raise RunError(
                f"{path} is damaged ({error}); remove {path.parent} to train its students again"
            ) from error
        if set(names) <= set(rest):
            yield path.parent, {name: rest.pop(name) for name in names}
    # Those that have trained alone, or have ended their training, are left out.
    fresh = {name: net for name, net in rest.items() if not _begun(net)}
    if len(fresh) > 1:
        yield home / f"{next(iter(fresh))}-and-{len(fresh) - 1}-more", fresh


def _owner(group: Mapping[str, Network]) -> Owner:
    """Return whose the states of a group are: all its networks' together."""
    first = next(iter(group.values())).unit.owner
    names: dict[str, str | int] = {"run": first.names["run"], "networks": ", ".join(group)}
    return Owner(names=names, sealed=first.sealed)


def _begun(network: Network) -> bool:
    folder = network.unit.folder
    return any(any(folder.glob(f"{inside}step-*")) for inside in ("", "resume/"))


def train_together(
    networks: Mapping[str, Network], home: Path, events: Events, *, title: str
) -> None:
    """Train networks of one architecture and one data set together, as far as they are not trained.

    A call that was ended in any way is continued by the next one with the same networks: its
    groups stay as they were, since the numbers of stacked networks depend on their company, to
    rounding. Networks that have begun to train alone are left to go on alone.

    Args:
      networks: by a name, such as "0-online-tau4"; with supervisions that differ in numbers alone,
        or they run interleaved.
      home: folder of the groups that are at work.
      events: told of each group and its steps.
      title: what they are, in words.

    Raises:
      RunError: a non-finite loss of one of them (its label is in the message), a damaged or full
        store.
      Terminated: SIGTERM; the state of all is saved.
    """
    for folder, group in _groups(networks, home):
        members = list(group.values())
        trainer = members[0].trainer
        events.network(
            f"{title} together: {folder.name}", trainer.total_steps, folder=folder.name,
            epoch_steps=trainer.epoch_steps, together=len(members),
        )  # fmt: skip
        begun = last_step(folder)
        if begun:
            events.resumed(begun)
        write_whole(folder / MEMBERS, json.dumps(list(group)) + "\n")
        kept = [Checkpoints(network.unit.folder, network.unit.owner) for network in members]
        try:
            for step, variables in trainer.train_many(
                [network.supervision for network in members],
                members[0].data,
                init_keys=[network.init_key for network in members],
                train_keys=[network.train_key for network in members],
                points=members[0].points,
                folder=folder,
                names=[network.label for network in members],
                on_step=events.step,
                owner=_owner(group),
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
        events.network_done(counted=False)
