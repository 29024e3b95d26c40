"""Tiles in a store: what is killed goes on, and nothing but the same kernel is taken for it."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings

import flax.linen as nn
import jax
import numpy as np
import pytest

from kdtheory.errors import InputError, RunError
from kdtheory.ntk import blockwise, gram, store
from kdtheory.ntk.methods import METHODS


class Net(nn.Module):
    width: int = 5
    outputs: int = 2

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.outputs)(nn.tanh(nn.Dense(self.width)(x)))


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    x1, x2 = (rng.normal(size=(n, 4)).astype(np.float32) for n in (11, 6))
    return Net().apply, Net().init(jax.random.key(0), x1), x1, x2


@pytest.fixture
def computed(monkeypatch):
    """Count the tiles that are computed."""
    places = []
    tiles = blockwise.Blockwise.tiles

    def counting(self, wanted, spill):
        places.extend(wanted)
        return tiles(self, wanted, spill)

    monkeypatch.setattr(blockwise.Blockwise, "tiles", counting)
    return places


def one_file_a_tile(monkeypatch):
    monkeypatch.setattr(store, "FILE_SECONDS", 0.0)


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("outputs", ["full", "diagonal", "trace"])
def test_a_finished_store_is_read_and_nothing_computed(
    problem, tmp_path, computed, method, outputs
):
    apply_fn, variables, x1, x2 = problem
    for name, second in (("one", None), ("two", x2)):
        settings = {"outputs": outputs, "method": method, "batch_size": 3}
        kernel = gram(apply_fn, variables, x1, second, **settings, store=tmp_path / name)
        assert np.array_equal(kernel, gram(apply_fn, variables, x1, second, **settings))
        computed.clear()
        again = gram(apply_fn, variables, x1, second, **settings, store=tmp_path / name)
        assert np.array_equal(again, kernel)
        assert computed == []


def test_what_is_interrupted_goes_on(problem, tmp_path, computed, monkeypatch):
    apply_fn, variables, x1, _ = problem
    one_file_a_tile(monkeypatch)

    def stop(done, _):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gram(apply_fn, variables, x1, batch_size=3, store=tmp_path, on_tile=stop)
    computed.clear()
    seen = []
    settings = {"batch_size": 3, "on_tile": lambda *counts: seen.append(counts)}
    kernel = gram(apply_fn, variables, x1, store=tmp_path, **settings)
    assert np.array_equal(kernel, gram(apply_fn, variables, x1, batch_size=3))
    assert len(computed[:6]) == 6
    assert seen == [(done, 10) for done in range(4, 11)]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("model", {"apply_fn": lambda v, x: 2 * Net().apply(v, x)}),
        ("parameters", {"seed": 1}),
        ("x1", {"x1": np.ones((11, 4), np.float32)}),
        ("x2", {"x2": np.ones((2, 4), np.float32)}),
        ("outputs", {"outputs": "trace"}),
        ("method", {"method": "neural_tangents"}),
        ("dtype", {"dtype": "float64"}),
    ],
)
def test_the_store_of_another_kernel_is_refused(problem, tmp_path, name, changes):
    apply_fn, variables, x1, _ = problem
    settings = {"batch_size": 3, "store": tmp_path}
    gram(apply_fn, variables, x1, **settings)
    changes = dict(changes)
    if "seed" in changes:
        variables = Net().init(jax.random.key(changes.pop("seed")), x1)
    given = [changes.pop("apply_fn", apply_fn), variables, changes.pop("x1", x1)]
    with pytest.raises(
        InputError, match=rf"holds tiles of another kernel \(.*{name}: .* asked"
    ) as e:
        gram(*given, changes.pop("x2", None), **settings, **changes)
    assert "\n" not in str(e.value)


def test_other_block_sizes_are_refused_with_the_way_out(problem, tmp_path):
    apply_fn, variables, x1, _ = problem
    gram(apply_fn, variables, x1, batch_size=3, store=tmp_path)
    with pytest.raises(InputError, match="give the memory_budget and batch_size that it was begun"):
        gram(apply_fn, variables, x1, batch_size=4, store=tmp_path)


def test_a_folder_that_is_no_store_is_refused(problem, tmp_path):
    apply_fn, variables, x1, _ = problem
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"holds files but no manifest.json \(thesis.tex\)"):
        gram(apply_fn, variables, x1, store=tmp_path)
    with pytest.raises(InputError, match="is a file; it must be a folder"):
        gram(apply_fn, variables, x1, store=tmp_path / "thesis.tex")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest.json is damaged"):
        gram(apply_fn, variables, x1, store=tmp_path / "damaged")


def _truncate(content):
    return content[: len(content) // 2]


def _flip(content):
    # In the middle of the tile's entries, where only a checksum can notice it.
    place = content.index(b"NUMPY") + 150
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", [_truncate, _flip, lambda content: b""])
def test_a_damaged_tile_is_noticed_and_computed_again(
    problem, tmp_path, computed, monkeypatch, damage
):
    apply_fn, variables, x1, _ = problem
    one_file_a_tile(monkeypatch)
    settings = {"batch_size": 3, "store": tmp_path}
    kernel = gram(apply_fn, variables, x1, **settings)
    paths = sorted(tmp_path.glob("tiles-*.npz"))
    assert len(paths) == 10
    paths[3].write_bytes(damage(paths[3].read_bytes()))
    computed.clear()
    with pytest.warns(UserWarning, match=rf"{paths[3].name} is damaged .* computed again"):
        assert np.array_equal(gram(apply_fn, variables, x1, **settings), kernel)
    assert len(computed) == 1
    assert np.array_equal(gram(apply_fn, variables, x1, **settings), kernel)  # without a warning


def test_a_damaged_file_loses_only_what_is_damaged(problem, tmp_path, computed):
    apply_fn, variables, x1, _ = problem
    settings = {"batch_size": 3, "store": tmp_path}
    kernel = gram(apply_fn, variables, x1, **settings)
    [path] = tmp_path.glob("tiles-*.npz")
    path.write_bytes(_flip(path.read_bytes()))
    computed.clear()
    with pytest.warns(UserWarning, match="is damaged"):
        assert np.array_equal(gram(apply_fn, variables, x1, **settings), kernel)
    assert len(computed) == 1


def test_any_flipped_bit_is_noticed_or_harmless(problem, tmp_path):
    apply_fn, variables, x1, _ = problem
    settings = {"batch_size": 6, "store": tmp_path}
    kernel = gram(apply_fn, variables, x1, **settings)
    rng = np.random.default_rng(0)
    for _ in range(60):
        path = sorted(tmp_path.glob("tiles-*.npz"))[0]
        content = bytearray(path.read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            assert np.array_equal(gram(apply_fn, variables, x1, **settings), kernel)


def test_a_full_disk_is_one_line(problem, tmp_path, monkeypatch):
    apply_fn, variables, x1, _ = problem

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.np, "savez", full)
    with pytest.raises(RunError, match=r"cannot write .*: No space left on device"):
        gram(apply_fn, variables, x1, store=tmp_path)


def test_a_kernel_that_is_not_finite_is_not_stored(problem, tmp_path):
    apply_fn, variables, x1, _ = problem
    diverged = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), variables)
    with pytest.raises(Exception, match="not finite"):
        gram(apply_fn, diverged, x1, store=tmp_path)
    assert list(tmp_path.glob("tiles-*")) == []


_WORK = """
    import sys, time
    import flax.linen as nn, jax, numpy as np
    from kdtheory.ntk import gram, store

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(nn.relu(nn.Dense(7)(x)))

    store.FILE_SECONDS = 0.0
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    variables = Net().init(jax.random.key(0), x)
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    slowly = lambda *_: time.sleep(0.005) if folder else None
    kernel = gram(Net().apply, variables, x, batch_size=2, store=folder, on_tile=slowly)
    sys.stdout.buffer.write(kernel.tobytes())
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_identical_matrix(tmp_path):
    def start(*arguments, seed):
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_WORK), *arguments],
            stdout=subprocess.PIPE,
            # Hashes of strings, and with them the order of sets, differ from process to process.
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        )

    expected, _ = start(seed=0).communicate()
    assert len(expected) == 4 * 80 * 80
    stored = [0]
    # Killed before the first tile is stored, and at two further moments.
    for moment, more in enumerate((0, 30, 120)):
        process = start(str(tmp_path), seed=moment + 1)
        while len(list(tmp_path.glob("*.npz"))) < stored[-1] + more or not any(tmp_path.iterdir()):
            assert process.poll() is None
            time.sleep(0.002)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        stored.append(len(list(tmp_path.glob("*.npz"))))
    assert 0 < stored[2] < stored[3] < 210
    resumed = start(str(tmp_path), seed=9)
    content, _ = resumed.communicate()
    assert resumed.returncode == 0
    assert content == expected
    assert json.loads((tmp_path / "manifest.json").read_text())["block_sizes"][:2] == [2, 2]


def test_without_its_manifest_a_store_gives_nobody_elses_tiles(problem, tmp_path, computed):
    apply_fn, variables, x1, _ = problem
    settings = {"batch_size": 3, "store": tmp_path}
    kernel = gram(apply_fn, variables, x1, **settings)
    (tmp_path / "manifest.json").unlink()
    other = Net().init(jax.random.key(1), x1)
    with pytest.raises(InputError, match=r"holds tiles of another kernel \(it is of kernel"):
        gram(apply_fn, other, x1, **settings)
    (tmp_path / "manifest.json").unlink()
    computed.clear()
    assert np.array_equal(gram(apply_fn, variables, x1, **settings), kernel)
    assert computed == []


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_tiles_put_in_with_valid_checksums_are_computed_again(problem, tmp_path, computed, value):
    apply_fn, variables, x1, _ = problem
    settings = {"batch_size": 3, "store": tmp_path}
    kernel = gram(apply_fn, variables, x1, **settings)
    [path] = tmp_path.glob("tiles-*.npz")
    with np.load(path) as stored:
        members = dict(stored)
    members["0-0"] = np.full_like(members["0-0"], value)
    np.savez(path, **members)
    computed.clear()
    with pytest.warns(UserWarning, match="0-0 has changed since it was stored"):
        assert np.array_equal(gram(apply_fn, variables, x1, **settings), kernel)
    assert len(computed) == 1


def test_a_store_of_the_first_format_is_read_and_gone_on_with(problem, tmp_path, computed):
    apply_fn, variables, x1, _ = problem
    settings = {"batch_size": 3, "store": tmp_path}
    kernel = gram(apply_fn, variables, x1, **settings)
    [path] = tmp_path.glob("tiles-*.npz")
    with np.load(path) as stored:
        members = {name: tile for name, tile in stored.items() if name != "seal"}
    del members["0-0"]
    np.savez(path, **members)
    manifest = tmp_path / "manifest.json"
    with pytest.raises(InputError, match="it has no digest"):
        gram(apply_fn, variables, x1, **settings)
    manifest.write_text(manifest.read_text().replace('"format": 2', '"format": 1'))
    computed.clear()
    for times in (1, 0):
        assert np.array_equal(gram(apply_fn, variables, x1, **settings), kernel)
        assert len(computed) == times
        computed.clear()
