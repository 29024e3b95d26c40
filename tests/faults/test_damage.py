"""Every file of a small finished and a small unfinished run, changed in each of eight ways.

A file is then read by what reads it in a run. It must give what was stored, or be told to be
damaged or another's in one line.
"""

import gc
import random
import shutil
import warnings

import jax
import numpy as np
import pytest

from kdtheory import models
from kdtheory.archives import read_archive
from kdtheory.digests import Owner
from kdtheory.errors import KdtheoryError
from kdtheory.runs import RunConfig, execute, read_config
from kdtheory.runs.identity import settings_hash
from kdtheory.runs.listing import summarise
from kdtheory.runs.own_rows import own_rows
from kdtheory.runs.progress import RunProgress
from kdtheory.runs.store import read_provenance, stored_fingerprint
from kdtheory.runs.stored_variables import stored_forms
from kdtheory.runs.unit import Unit
from kdtheory.training import Checkpoints

CONFIG = RunConfig.of(
    dataset="synthetic", task="full", train_size=32, test_size=16, teacher="mlp8x1",
    student="mlp8x1", arms=("labels", "online"), temperatures=(4.0,), epochs=2,
    teacher_checkpoints=2, batch_size=8, seeds=1, points=2, kernel="none", steps_per_dispatch=1,
    save_seconds=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run, another one of other settings, and one that was interrupted."""
    home = tmp_path_factory.mktemp("runs")
    execute(CONFIG.replace(out=str(home / "finished")), quiet=True)
    execute(CONFIG.replace(out=str(home / "other"), alpha=0.5), quiet=True)
    steps = []

    def interrupting(self, step, loss):
        steps.append(step)
        if len(steps) == 19:  # in the second half of the last student's training
            raise KeyboardInterrupt

    before = RunProgress.step
    RunProgress.step = interrupting
    try:
        with pytest.raises(KeyboardInterrupt):
            execute(CONFIG.replace(out=str(home / "unfinished")), quiet=True)
    finally:
        RunProgress.step = before
    assert list(home.glob("unfinished/seeds/0/*/resume/step-*"))
    return home


def bit(path, others, rng):
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(content))


def directory(path, others, rng):
    path.unlink()
    path.mkdir()


WAYS = {
    "a bit": bit,
    "half": lambda path, others, rng: path.write_bytes(
        path.read_bytes()[: path.stat().st_size // 2]
    ),
    "empty": lambda path, others, rng: path.write_bytes(b""),
    "zeros": lambda path, others, rng: path.write_bytes(b"\0" * path.stat().st_size),
    "another's": lambda path, others, rng: shutil.copy(others["another's"], path),
    "newer": lambda path, others, rng: shutil.copy(others["newer"], path),
    "older": lambda path, others, rng: shutil.copy(others["older"], path),
    "not readable": directory,
}


def entry_of(path):
    """The folder of the checkpoint that a file is part of; None for what is part of none."""
    return next((parent for parent in path.parents if parent.name.startswith("step-")), None)


def things(run):
    """What is read as one: files, and folders of checkpoints with their files."""
    found = {}
    for path in sorted(run.rglob("*")):
        if path.is_file() and path.name != ".lock":
            found.setdefault(entry_of(path) or path, []).append(path)
    return found


def own_settings(run):
    return next(iter({row["settings"] for row in own_rows(run).rows}))


def reader(run, thing, settings):
    """Return a function that reads a thing as a run does: its content, None for what is missing."""
    unit = thing.parent.parent if thing.parent.name == "resume" else thing.parent
    names = {"run": settings, "seed": 0, "network": unit.name}
    if thing.name.startswith("step-"):
        return checkpoint_reader(thing, Owner(names=names), read_config(run / "config.json"))
    if thing.suffix == ".npz":
        step = int(thing.stem.rpartition("-")[2])
        return lambda: sound(read_archive(thing, Owner(names={**names, "step": step})))
    if thing.name.startswith("rows-"):
        stored = Unit(thing.parent, Owner(names=names))
        return lambda: stored.rows(int(thing.stem[5:]))
    if thing.name == "provenance.json":
        return lambda: read_provenance(run, settings)
    return lambda: (first_rows(run), gathered(run))


def first_rows(run):
    """A point's rows, which are the run's that config.json and data.json describe."""
    data = stored_fingerprint(run / "data.json")
    config = read_config(run / "config.json")
    names = {"run": settings_hash(config.identity(), data), "seed": 0, "network": "teacher"}
    path = next((run / "seeds" / "0" / "teacher").glob("rows-*"))
    return Unit(path.parent, Owner(names=names)).rows(int(path.stem[5:]))


def gathered(run):
    return own_rows(run).rows if (run / "rows.jsonl").exists() else summarise(run).state


def checkpoint_reader(thing, owner, config):
    variables = models.init(models.create("mlp8x1", 10), jax.random.key(0), (8, 8, 3))
    step = int(thing.name[5:])

    def read(form):
        checkpoints = Checkpoints(thing.parent, owner)
        try:
            leaves = jax.tree.leaves(checkpoints.restore(step, form))
            return [np.asarray(leaf).tolist() for leaf in leaves]
        finally:
            checkpoints.close()

    def readable(form):
        try:
            read(form)
        except KdtheoryError:
            return False
        return True

    form = next(filter(readable, stored_forms(config, variables)))
    return lambda: read(form)


def sound(archive):
    if archive.unsound is not None:
        raise KdtheoryError(archive.unsound.reason)
    return {name: array.tolist() for name, array in archive.arrays.items()}


def outcome(read, wanted):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found = read()
        except (KdtheoryError, OSError) as error:
            return "told in one line" if "\n" not in str(error) else "traceback"
        except Exception:
            return "traceback"
    if found == wanted:
        return "the same numbers"
    return "made again, with a warning" if found is None and told else "other numbers"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax's
@pytest.mark.parametrize("share", [0.03, pytest.param(1.0, marks=pytest.mark.faults)])
@pytest.mark.parametrize("name", ["finished", "unfinished"])
def test_nothing_damaged_or_anothers_is_used(runs, tmp_path, tally, name, share):
    rng = random.Random(0)
    bad = []
    run = tmp_path / "run"
    shutil.copytree(runs / name, run)
    settings = own_settings(runs / "finished")
    other = things(runs / "other")
    for thing, paths in things(run).items():
        relative = thing.relative_to(run)
        if relative.parts[0] != "seeds" and relative.suffix not in (".json", ".jsonl"):
            continue  # tables, figures and the page are written, never read
        read = reader(run, thing, settings)
        wanted = read()
        for path in paths:
            inner = path.relative_to(run)
            siblings = sorted(
                found
                for found in thing.parent.glob(f"{thing.name[:5]}*")
                if found.suffix == thing.suffix and found != thing
            )
            others = {"another's": runs / "other" / inner}
            for way, place in (("older", 0), ("newer", -1)):
                sibling = siblings[place] / path.relative_to(thing) if siblings else None
                others[way] = sibling if path != thing else siblings[place] if siblings else None
            for way, change in WAYS.items():
                source = others.get(way, path)
                if rng.random() > share or source is None or not source.is_file():
                    continue
                content = path.read_bytes()
                if not content:
                    continue
                change(path, others, rng)
                end = outcome(read, wanted)
                if path.is_dir():
                    path.rmdir()
                path.write_bytes(content)
                if not tally(f"damage to a run, {way}", end):
                    bad.append((str(inner), way, end))
    assert other
    assert bad == []
    gc.collect()  # what orbax leaves of reads that failed
    jax.clear_caches()
