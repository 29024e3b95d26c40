"""Checkpoints: a changed bit in any file, and states of another arm, seed, run or step."""

import gc
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.digests import Owner
from kdtheory.training.checkpoints import Checkpoints, DamagedCheckpointError

OWNER = Owner(names={"run": "s1", "seed": 0, "network": "labels"})


@pytest.fixture
def state():
    key = jax.random.key(0)
    return {
        "params": {"w": jax.random.normal(key, (40, 10)), "b": jnp.zeros(10)},
        "step": jnp.int32(4),
        "half": jnp.ones(3, jnp.bfloat16),
    }


def store(folder, state, owner=OWNER, step=4):
    checkpoints = Checkpoints(folder, owner)
    checkpoints.save(step, state)
    checkpoints.wait()
    return checkpoints


def same(first, second):
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax's
def test_every_changed_bit_is_noticed_or_harmless(tmp_path, state):
    checkpoints = store(tmp_path, state)
    entry = checkpoints.path(4)
    assert same(checkpoints.restore(4, state), state)
    files = sorted(path for path in entry.rglob("*") if path.is_file())
    data = [path for path in files if path.parent.name == "d"]
    assert data
    rng = np.random.default_rng(0)
    noticed = 0
    for path in [*data * 2, *files]:
        content = path.read_bytes()
        if not content:
            continue
        changed = bytearray(content)
        changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(changed))
        try:
            assert same(checkpoints.restore(4, state), state), path
        except DamagedCheckpointError:
            noticed += 1
        path.write_bytes(content)
    assert noticed >= len(data)
    assert same(checkpoints.restore(4, state), state)
    checkpoints.close()
    # What orbax leaves of reads that failed ends here, and not in another test.
    gc.collect()


@pytest.mark.parametrize(
    ("name", "value"), [("run", "s2"), ("seed", 1), ("network", "online-tau4")]
)
def test_anothers_state_in_its_place_is_refused(tmp_path, state, name, value):
    store(tmp_path / "other", state, OWNER.at(**{name: value})).close()
    mine = store(tmp_path / "mine", state)
    shutil.rmtree(mine.path(4))
    shutil.copytree(tmp_path / "other" / "step-00000004", mine.path(4))
    with pytest.raises(DamagedCheckpointError, match=rf"it is of {name} {value}, not"):
        mine.restore(4, state)
    mine.close()


def test_another_step_under_its_name_is_refused(tmp_path, state):
    checkpoints = store(tmp_path, state)
    checkpoints.path(4).rename(checkpoints.path(8))
    with pytest.raises(DamagedCheckpointError, match="it is of step 4, not 8"):
        checkpoints.restore(8, state)
    checkpoints.close()
    # Nor for whoever does not say whose it is.
    with pytest.raises(DamagedCheckpointError, match="it is of step 4, not 8"):
        Checkpoints(tmp_path).restore(8, state)


def test_what_orbax_would_wait_for_is_refused(tmp_path, state):
    checkpoints = store(tmp_path, state)
    os.mkfifo(checkpoints.path(4) / "pipe")
    with pytest.raises(DamagedCheckpointError, match="pipe is neither a file nor a folder"):
        checkpoints.restore(4, state)
    checkpoints.close()
