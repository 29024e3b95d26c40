"""SIGKILL, SIGTERM and Ctrl-C on whole runs: the same command ends with the same parameters."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from kdtheory import models
from kdtheory.datasets import load
from kdtheory.training import Checkpoints

pytestmark = pytest.mark.slow

#: Saves after every program, so that every moment of the training can be the last.
COMMAND = [
    sys.executable, "-m", "kdtheory", "run", "--dataset", "synthetic", "--teacher", "mlp16x1",
    "--student", "mlp8x1", "--train-size", "256", "--test-size", "32", "--epochs", "8",
    "--seeds", "1", "--points", "3", "--ntk-size", "16", "--batch-size", "16", "--arms", "labels",
    "online", "--temperatures", "4", "--augment", "--save-seconds", "0", "--compilation-cache",
]  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Programs compiled once for all processes."""
    cache = str(tmp_path_factory.mktemp("cache"))
    return {**os.environ, "XDG_CACHE_HOME": cache, "PYTHONUNBUFFERED": "1"}


def begin(out, environment, **arguments):
    return subprocess.Popen(
        [*COMMAND, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, env=environment, **arguments,
    )  # fmt: skip


def finish(out, environment):
    process = begin(out, environment)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def unbroken(environment, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    finish(out, environment)
    return out


def fingerprints(out):
    """Every stored network's parameters at every point, and all rows."""
    found = {}
    shape = load("synthetic", train_size=32, test_size=16).image_shape
    for name, model in (("teacher", "mlp16x1"), ("labels", "mlp8x1"), ("online-tau4", "mlp8x1")):
        checkpoints = Checkpoints(out / "seeds" / "0" / name)
        like = models.init(models.create(model, 10), jax.random.key(0), shape)
        for step in checkpoints.steps():
            variables = checkpoints.restore(step, like)
            content = b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(variables))
            found[name, step] = hashlib.sha256(content).hexdigest()
        checkpoints.close()
    found["rows"] = (out / "rows.jsonl").read_text()
    return found


def states_saved(out):
    """The names of the states for going on that are there: they change with every program."""
    return {str(path) for path in out.glob("seeds/0/*/resume/step-*") if path.name[5:].isdigit()}


def test_a_second_ctrl_c_ends_without_a_traceback(tmp_path, environment):
    out = tmp_path / "run"
    process = begin(out, environment)
    while process.poll() is None and not states_saved(out):
        time.sleep(0.01)
    for _ in range(4):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "interrupted; the same command, without --fresh, continues where it was" in errors


def kill_after(out, environment, saves, seconds):
    """SIGKILL once so many more states were seen, and a little later; return whether it ran."""
    process = begin(out, environment)
    before, seen = states_saved(out), set()
    while process.poll() is None and len(seen) < saves:
        seen |= states_saved(out) - before
        time.sleep(0.002)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def assert_survives(out, unbroken, environment, kills, most_saves):
    rng = random.Random(0)
    done = 0
    while done < kills and kill_after(
        out, environment, rng.randint(1, most_saves), rng.uniform(0, 0.05)
    ):
        done += 1
    assert done == kills
    finish(out, environment)
    assert fingerprints(out) == fingerprints(unbroken)
    assert len(fingerprints(out)) == 10 + 3 + 3 + 1


def test_twenty_sigkills_at_random_steps(tmp_path, unbroken, environment):
    assert_survives(tmp_path / "run", unbroken, environment, kills=20, most_saves=3)


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 130, "continues where it was"),
        (signal.SIGTERM, 143, "is saved at step"),
    ],
)
def test_signals_say_how_to_go_on(tmp_path, unbroken, environment, number, code, message):
    out = tmp_path / "run"
    process = begin(out, environment)
    while process.poll() is None and not states_saved(out):
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    assert message in errors
    assert "continues where it was" in errors
    assert "Traceback" not in errors
    finish(out, environment)
    assert fingerprints(out) == fingerprints(unbroken)
