"""Several processes of `jax.distributed` on one matrix, over the CPU's collectives."""

import json
import os
import socket
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from kdtheory.cli import main

_WORK = """
    import sys, time
    import jax

    coordinator, index, count, folder, out, mode = sys.argv[1:]
    count = int(count)
    if count > 1:
        jax.distributed.initialize(
            coordinator, count, int(index), initialization_timeout=60, shutdown_timeout_seconds=5,
            heartbeat_timeout_seconds=10,
        )
    import flax.linen as nn, numpy as np
    from kdtheory.errors import KdtheoryError
    from kdtheory.ntk import blockwise, gram, processes, store

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(nn.relu(nn.Dense(7)(x)))

    processes.PATIENCE = 4.0
    store.FILE_SECONDS = 0.0
    x = np.random.default_rng(0).normal(size=(21, 4)).astype(np.float32)
    if mode == "differing" and index == "1":
        x = x + 1
    variables = Net().init(jax.random.key(0), x)
    shares = []

    def on_tile(done, total):
        shares.append(total)
        if mode == "dying" and index == "1" and done == 2:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)

    began = time.time()
    for second, name in ((None, "one"), (x[:5], "two")):
        try:
            kernel = gram(
                Net().apply, variables, x, second, batch_size=2, distributed=count > 1,
                store=f"{folder}/{name}" if folder else None, on_tile=on_tile,
            )
        except KdtheoryError as error:
            print("error:", error, flush=True)
            sys.stderr.flush()
            import os
            os._exit(2)  # without waiting for those who will not come
        np.save(f"{out}/{name}-{count}-{index}.npy", kernel)
    print(shares[0], flush=True)
"""


def free_address():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def start(count, folder, out, mode="well"):
    coordinator = free_address()
    return [
        subprocess.Popen(
            [
                sys.executable, "-c", textwrap.dedent(_WORK), coordinator, str(index), str(count),
                str(folder or ""), str(out), mode,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]  # fmt: skip


def finish(processes):
    try:
        ends = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return ends


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone")
    [process] = start(1, None, out)
    _, complaint = finish([process])[0]
    assert process.returncode == 0, complaint
    return {name: np.load(out / f"{name}-1-0.npy") for name in ("one", "two")}


@pytest.mark.parametrize(
    ("count", "stored"),
    [(2, True), *(pytest.param(4, stored, marks=pytest.mark.slow) for stored in (True, False))],
)
def test_processes_make_the_matrix_of_one(alone, tmp_path, count, stored):
    (tmp_path / "out").mkdir()
    processes = start(count, tmp_path / "store" if stored else None, tmp_path / "out")
    ends = finish(processes)
    for process, (_, complaint) in zip(processes, ends, strict=True):
        assert process.returncode == 0, complaint
    shares = [int(shown.split()[-1]) for shown, _ in ends]
    assert sum(shares) == 11 * 12 // 2
    assert max(shares) - min(shares) <= 1
    for name, expected in alone.items():
        for index in range(count):
            kernel = np.load(tmp_path / "out" / f"{name}-{count}-{index}.npy")
            assert np.array_equal(kernel, expected)


@pytest.mark.slow
def test_a_dead_process_is_an_error_and_its_tiles_are_computed_on_the_next_call(alone, tmp_path):
    (tmp_path / "out").mkdir()
    processes = start(2, tmp_path / "store", tmp_path / "out", "dying")
    (shown, complaint), _ = finish(processes)
    assert processes[0].returncode != 0
    assert not list((tmp_path / "out").iterdir())  # no matrix, least of all a wrong one
    assert "tiles of process 1 did not come" in shown or "distributed service" in complaint
    kept = len(list((tmp_path / "store" / "one").glob("tiles-*.npz")))
    assert kept >= 33 + 1
    # With another number of processes.
    [process] = start(1, tmp_path / "store", tmp_path / "out")
    _, complaint = finish([process])[0]
    assert process.returncode == 0, complaint
    assert np.array_equal(np.load(tmp_path / "out" / "one-1-0.npy"), alone["one"])


@pytest.mark.slow
def test_a_dead_process_without_a_store_is_an_error(tmp_path):
    began = time.monotonic()
    processes = start(2, None, tmp_path, "dying")
    finish(processes)
    assert processes[0].returncode != 0
    assert not list(tmp_path.iterdir())
    assert time.monotonic() - began < 120


@pytest.mark.parametrize("stored", [pytest.param(False, marks=pytest.mark.slow), True])
def test_processes_with_differing_inputs_are_an_error(tmp_path, stored):
    (tmp_path / "out").mkdir()
    processes = start(2, tmp_path / "store" if stored else None, tmp_path / "out", "differing")
    ends = finish(processes)
    assert any(process.returncode == 2 for process in processes)
    assert all(process.returncode != 0 for process in processes)
    expected = "holds tiles of another kernel" if stored else "given different kernels"
    assert any(expected in shown for shown, _ in ends)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["by hand", "under Slurm"])
def test_the_command_line_shares_a_kernel_between_two_processes(tmp_path, how):
    flags = [
        "gram", "--dataset", "synthetic", "--model", "mlp8x1", "--ntk-size", "12",
        "--batch-size", "3", "--out",
    ]  # fmt: skip
    address = free_address()

    def command(index):
        """Flags and environment of a process."""
        if how == "by hand":
            given = ["--coordinator", address, "--process-id", str(index), "--num-processes", "2"]
            return [*given, "--store", str(tmp_path / "store"), "--memory-budget", "64MiB"], {}
        job = {"JOB_ID": address.split(":")[1], "STEP_NODELIST": "localhost", "NTASKS": "2",
               "PROCID": str(index), "LOCALID": str(index), "STEP_NUM_NODES": "1"}  # fmt: skip
        return ["--distributed", "auto"], {f"SLURM_{name}": value for name, value in job.items()}

    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "kdtheory", *flags, str(tmp_path / "K.npy"), *command(index)[0]],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **command(index)[1]},
        )
        for index in range(2)
    ]
    ends = finish(processes)
    for process, (_, complaint) in zip(processes, ends, strict=True):
        assert process.returncode == 0, complaint
    # Gloo writes a line of its own before.
    last = [shown.splitlines()[-1] for shown, _ in ends]
    assert last[0].startswith("wrote ")
    assert last[1].startswith("process 1 of 2")
    settings = json.loads((tmp_path / "K.json").read_text())
    assert settings["processes"] == 2
    assert settings["memory_budget"] == ("64MiB" if how == "by hand" else None)
    main([*flags, str(tmp_path / "alone.npy")])
    shared, alone = np.load(tmp_path / "K.npy"), np.load(tmp_path / "alone.npy")
    assert np.abs(shared - alone).max() <= 1e-6 * np.abs(alone).max()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--coordinator", "localhost:1"], "go together; give all"),
        (["--process-id", "0", "--num-processes", "2"], "go together; give all"),
        (
            ["--coordinator", "localhost:1", "--process-id", "2", "--num-processes", "2"],
            "process id must be 0 to 1; got 2",
        ),
        (["--devices", "9999"], "--devices must be 1 to"),
        (["--memory-budget", "much"], "a size must be bytes or a number with a unit"),
        (["--memory-budget", "1KiB"], "too small for this model"),
    ],
)
def test_flags_that_cannot_be_used_are_one_line(tmp_path, capsys, flags, message):
    with pytest.raises(SystemExit) as caught:
        main([
            "gram", "--dataset", "synthetic", "--model", "mlp8x1", "--ntk-size", "4",
            "--out", str(tmp_path / "K.npy"), *flags,
        ])  # fmt: skip
    assert caught.value.code == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1
    assert not list(tmp_path.iterdir())
