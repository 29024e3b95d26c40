"""SIGKILL at random moments of a training: the same command ends with the same parameters."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

#: A model with BatchNorm on augmented images, supervised by an online teacher; every update saved.
SCRIPT = """
import hashlib, sys
from pathlib import Path
import flax.linen as nn, jax, numpy as np
from kdtheory import models
from kdtheory.datasets import AugmentConfig, load
from kdtheory.targets import online, stack
from kdtheory.training import *
from kdtheory.training.compilation_cache import enable_compilation_cache

class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return nn.Dense(10)(x.mean(axis=(1, 2)))

enable_compilation_cache(Path(sys.argv[2]))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
dataset = load("digits", train_size=64, test_size=32)
data = training_data(dataset.train, mean=dataset.mean, std=dataset.std)
model, optimizer = Net(), make_optimizer(OptimizerConfig(learning_rate=0.1), 96)
chunk = make_train_chunk(model, optimizer, batch_size=16, length=1, augmentation=AugmentConfig())
first, second = (models.init(model, jax.random.key(i), (8, 8, 1)) for i in (0, 1))
teacher = online(model.apply, stack([first, second], [48, 96]), temperature=4.0, alpha=0.5)

def train(state, stops, pause):
    return run(chunk, state, teacher, data, jax.random.key(2), stops=stops, pause=pause)

for step, variables in resumable(train, init_state(first, optimizer), folder=Path(sys.argv[1]),
                                 points=[0, 32, 64, 96], name="student", save_seconds=0.0):
    content = b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(variables))
    print(step, hashlib.sha256(content).hexdigest())
"""


def begin(folder, cache):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(cache)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip


def finish(folder, cache):
    """Return what a process prints that is left alone."""
    process = begin(folder, cache)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    return output


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Programs compiled once for all processes."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def unbroken(cache, tmp_path_factory):
    return finish(tmp_path_factory.mktemp("unbroken") / "student", cache)


def last_state(folder):
    return max((path.name for path in folder.glob("resume/step-????????")), default="")


@pytest.mark.slow
@pytest.mark.parametrize("kills", [20])
def test_sigkill_at_random_steps(tmp_path, unbroken, cache, kills):
    folder, rng = tmp_path / "student", random.Random(kills)
    reached = set()
    for _ in range(kills):
        process = begin(folder, cache)
        wait_for = rng.randint(1, 3 if kills > 4 else 30)
        before, seen = last_state(folder), set()
        while process.poll() is None and len(seen) < wait_for:
            seen |= {last_state(folder)} - {before}
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))  # in the middle of an update or of a file
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors[-3000:]
        reached.add(last_state(folder))
    assert len(reached) > kills // 2  # killed at different steps
    assert finish(folder, cache) == unbroken
    assert len(unbroken.splitlines()) == 4
