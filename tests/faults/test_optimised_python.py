"""Every command under `python -O`, which leaves out assertions: it works; bad input is one line."""

import json
import os
import subprocess
import sys

import pytest

from kdtheory.cli import COMMANDS

NETWORKS = ["--dataset", "synthetic", "--teacher", "mlp8x1", "--student", "mlp8x1"]
RUN = [
    "run", *NETWORKS, "--train-size", "16", "--test-size", "8", "--epochs", "1", "--seeds", "1",
    "--teacher-checkpoints", "1", "--batch-size", "8", "--points", "2", "--ntk-size", "6", "--arms",
    "labels", "--out", "run",
]  # fmt: skip
KERNEL = ["gram", "--dataset", "digits", "--task", "even_odd", "--model", "mlp8x1", "--ntk-size"]
SWEEP = """
[base]
dataset = "synthetic"
teacher = "mlp8x1"
student = "mlp8x1"
train_size = 16
test_size = 8
epochs = 1
arms = ["labels"]
kernel = "none"
batch_size = 8

[grid]
seeds = [1]
"""
#: Each command with what it reads, in an order in which the later read what the earlier wrote.
LINES = [
    ("run", RUN),
    ("table", ["table", "run"]),
    ("runs", ["runs", "run"]),
    ("report", ["report", "."]),
    ("sweep", ["sweep", "sweep.toml", "--out", "sweep"]),
    ("study", ["study", "similarity", "--smoke", "--out", "study"]),
    ("demo", ["demo", "--smoke", "--seeds", "1", "--out", "demo"]),
    ("advise", [
        "advise", "mlp8x1", "--student", "mlp8x1", "--dataset", "digits", "--task", "even_odd",
        "--train-size", "128", "--ntk-size", "16", "--teacher-epochs", "1", "--out", "advice",
    ]),
    ("completion", ["completion", "bash"]),
    ("gram", [*KERNEL, "8", "--out", "K.npy", "--targets", "Y.npy"]),
    ("complexity", ["complexity", "--gram", "K.npy", "--targets", "Y.npy", "--ridge", "1e-3"]),
    ("validate", ["validate", "norm_identity", "--quick"]),
    ("models", ["models"]),
    ("methods", ["methods"]),
    ("data list", ["data", "list", "--data-dir", "."]),
    ("data show", ["data", "show", "digits"]),
    ("data export", ["data", "export", "--dataset", "digits", "--out", "exported"]),
]  # fmt: skip
#: What is wrong with each, and the word that its line says.
WRONG = [
    (["run", "--epochs", "-1"], "epochs"),
    (["table", "nowhere"], "nowhere"),
    (["runs", "nowhere"], "nowhere"),
    (["report", "nowhere"], "nowhere"),
    (["sweep", "nowhere.toml"], "nowhere"),
    (["study", "nothing"], "nothing"),
    (["demo", "--seeds", "0"], "seeds"),
    (["gram", "--model", "nothing", "--out", "K2.npy"], "nothing"),
    (["complexity", "--gram", "K.npy", "--targets", "K.npy", "--ridge", "-1"], "ridge"),
    (["advise", "nothing", "--student", "mlp8x1"], "nothing"),
    (["completion", "nothing"], "nothing"),
    (["validate", "nothing"], "nothing"),
    (["data", "show", "nothing"], "nothing"),
    (["data", "prepare", "cifar1000", "--data-dir", "."], "cifar100"),
    (["data", "export", "--dataset", "nothing", "--out", "exported2"], "nothing"),
]
#: They only list what there is: no argument of theirs is a value that could be wrong.
LISTS = {"models", "methods", "data list"}


def optimised(folder, words):
    return subprocess.run(
        [sys.executable, "-O", "-m", "kdtheory", *words], cwd=folder, capture_output=True,
        text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, timeout=600,
    )  # fmt: skip


def test_a_kernel_under_python_o(tmp_path):
    found = optimised(tmp_path, [*KERNEL, "4", "--out", "K.npy"])
    assert found.returncode == 0, found.stderr
    assert json.loads((tmp_path / "K.json").read_text())["model"] == "mlp8x1"


def test_every_command_has_its_line():
    assert {name for name, _ in LINES} == COMMANDS.keys() - {"data prepare"}  # wants a network
    wrong = {" ".join(words[: 2 if words[0] == "data" else 1]) for words, _ in WRONG}
    assert wrong == COMMANDS.keys() - LISTS


@pytest.mark.faults
def test_every_command_under_python_o(tmp_path, tally):
    (tmp_path / "sweep.toml").write_text(SWEEP)
    bad = []
    for name, words in LINES:
        found = optimised(tmp_path, words)
        end = "answered" if found.returncode == 0 else "traceback"
        if not tally("commands under -O", end):
            bad.append((name, found.stderr[-2000:]))
    for words, said in WRONG:
        found = optimised(tmp_path, words)
        line = found.stderr.strip()
        told = found.returncode == 2 and line.count("\n") == 0 and said in line
        if not tally("commands under -O", "one line" if told else "traceback"):
            bad.append((words, found.returncode, found.stderr[-2000:]))
    assert bad == []
