"""SIGKILL and Ctrl-C from outside: the same command goes on, and ends with the same rows."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

COMMAND = [
    sys.executable, "-m", "kdtheory", "run", "--dataset", "synthetic", "--teacher", "mlp32x2",
    "--student", "lenet5x1", "--train-size", "256", "--test-size", "64", "--epochs", "8",
    "--seeds", "1", "--points", "3", "--ntk-size", "32", "--batch-size", "32", "--arms", "labels",
    "online", "--temperatures", "4", "--augment",
]  # fmt: skip


def run(out, **arguments):
    return subprocess.run(
        [*COMMAND, "--out", str(out)], check=True, capture_output=True, text=True, **arguments
    )


def test_sigkill_at_any_moment(tmp_path):
    began = time.monotonic()
    run(tmp_path / "unbroken")
    seconds = time.monotonic() - began
    expected = (tmp_path / "unbroken" / "rows.jsonl").read_text()

    out = tmp_path / "killed"
    kills = 0
    for part in (0.35, 0.5, 0.65, 0.8):
        process = subprocess.Popen(
            [*COMMAND, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(part * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    assert kills >= 2
    run(out)
    assert (out / "rows.jsonl").read_text() == expected


def test_ctrl_c_says_how_to_go_on(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "--out", str(tmp_path / "run")], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    while not (tmp_path / "run" / "config.json").exists():
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "continues where it was" in errors
    assert "Traceback" not in errors
