"""Several processes of `jax.distributed` on one matrix, over the CPU's collectives."""

import os
import socket
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

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


def start(count, folder, out, mode="well"):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    return [
        subprocess.Popen(
            [
                sys.executable, "-c", textwrap.dedent(_WORK), coordinator, str(index), str(count),
                str(folder or ""), str(out), mode,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XLA_FLAGS": ""},
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


@pytest.mark.parametrize(("count", "stored"), [(2, False), (2, True), (4, True), (4, False)])
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


def test_a_dead_process_without_a_store_is_an_error(tmp_path):
    began = time.monotonic()
    processes = start(2, None, tmp_path, "dying")
    finish(processes)
    assert processes[0].returncode != 0
    assert not list(tmp_path.iterdir())
    assert time.monotonic() - began < 120


@pytest.mark.parametrize("stored", [False, True])
def test_processes_with_differing_inputs_are_an_error(tmp_path, stored):
    (tmp_path / "out").mkdir()
    processes = start(2, tmp_path / "store" if stored else None, tmp_path / "out", "differing")
    ends = finish(processes)
    assert any(process.returncode == 2 for process in processes)
    assert all(process.returncode != 0 for process in processes)
    expected = "holds tiles of another kernel" if stored else "given different kernels"
    assert any(expected in shown for shown, _ in ends)
    assert not list((tmp_path / "out").iterdir())
