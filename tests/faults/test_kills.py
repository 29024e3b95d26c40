"""SIGKILL at random moments of run, sweep, study and a kernel with a store: the same numbers."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

SETTINGS = [
    "--dataset", "synthetic", "--teacher", "mlp16x1", "--student", "mlp8x1", "--train-size", "128",
    "--test-size", "32", "--epochs", "4", "--seeds", "1", "--points", "2", "--kernel", "none",
    "--batch-size", "16", "--arms", "labels", "online", "--temperatures", "4",
    "--save-seconds", "0", "--compilation-cache",
]  # fmt: skip

SWEEP = """
[base]
dataset = "synthetic"
teacher = "mlp16x1"
student = "mlp8x1"
train_size = 64
test_size = 32
points = 2
kernel = "none"
batch_size = 16
arms = ["labels"]
seeds = 1
save_seconds = 0.0
compilation_cache = true

[grid]
epochs = [1, 2]
"""


def commands(folder):
    """Return each command's arguments and what it leaves."""
    file = folder / "sweep.toml"
    file.write_text(SWEEP)
    return {
        "run": (["run", *SETTINGS], "rows.jsonl"),
        "sweep": (["sweep", str(file)], "epochs=2/rows.jsonl"),
        "study": (["study", "accuracy", "--smoke"], "summary.md"),
        "gram": (
            ["gram", "--dataset", "synthetic", "--model", "mlp16x1", "--ntk-size", "96",
             "--batch-size", "4", "--store"],
            "K.npy",
        ),
    }  # fmt: skip


def start(name, arguments, out, environment):
    place = ["--out", str(out)]
    if name == "gram":
        place = [str(out / "store"), "--out", str(out / "K.npy")]
        out.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "kdtheory", *arguments, *place], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def content(path):
    return np.load(path).tobytes() if path.suffix == ".npy" else path.read_bytes()


@pytest.mark.faults
@pytest.mark.parametrize("name", ["run", "sweep", "study", "gram"])
def test_killed_at_random_moments_it_ends_with_the_same_numbers(tmp_path, tally, name):
    arguments, left = commands(tmp_path)[name]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    start(name, arguments, tmp_path / "warm", environment).communicate()
    began = time.monotonic()
    _, errors = start(name, arguments, tmp_path / "unbroken", environment).communicate()
    seconds = time.monotonic() - began
    wanted = content(tmp_path / "unbroken" / left)
    rng, kills, broken = random.Random(0), 0, tmp_path / "broken"
    for _ in range(8):
        process = start(name, arguments, broken, environment)
        time.sleep(rng.uniform(0.2, 0.9) * seconds)
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if "Traceback" in errors:
            tally(f"kills of {name}", "traceback")
    _, errors = start(name, arguments, broken, environment).communicate()
    same = (broken / left).exists() and content(broken / left) == wanted
    for _ in range(kills):
        tally(f"kills of {name}", "survived" if same else "lost")
    assert same, errors
    assert "Traceback" not in errors
    assert not list(broken.rglob("*.tmp"))
