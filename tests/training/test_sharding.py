"""A batch over several devices: the numbers of one device, to rounding."""

import json
import os
import socket
import subprocess
import sys

import pytest

from kdtheory.errors import InputError
from kdtheory.training import make_train_chunk

#: Trains three steps of a BatchNorm model over all devices, and prints losses and a sum.
SCRIPT = """
import json, sys
import jax
processes, rank, port = map(int, sys.argv[1:4])
if processes > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", processes, rank)
import jax.numpy as jnp, numpy as np, flax.linen as nn
from kdtheory.datasets import AugmentConfig, load
from kdtheory.targets import Labels, stack, online
from kdtheory import models
from kdtheory.training import *

class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return nn.Dense(10)(x.mean(axis=(1, 2)))

dataset = load("digits", train_size=64, test_size=32)
data = training_data(dataset.train, mean=dataset.mean, std=dataset.std)
model, optimizer = Net(), make_optimizer(OptimizerConfig(learning_rate=0.1), 4)
mesh = data_mesh() if len(jax.devices()) > 1 else None
chunk = make_train_chunk(model, optimizer, batch_size=16, length=1, mesh=mesh,
                         augmentation=AugmentConfig())
state = init_state(models.init(model, jax.random.key(0), (8, 8, 1)), optimizer)
teacher = online(model.apply, stack([state.variables], [4]), temperature=4.0, alpha=0.5)
losses = []
(end,) = run(chunk, state, teacher, data, jax.random.key(1), stops=[4],
             on_chunk=lambda step, loss: losses.append(loss))
flat = np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(end.variables)])
print(json.dumps({"devices": len(jax.devices()), "losses": losses,
                  "values": flat.astype(float).tolist()}))
"""


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def train(processes=1, devices=1):
    """Return what each process printed."""
    port = free_port()
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(processes), str(rank), str(port)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for rank in range(processes)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=300) for process in started]
    for process, (_, errors) in zip(started, outputs, strict=True):
        assert process.returncode == 0, errors[-2000:]
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]


@pytest.fixture(scope="module")
def alone():
    return train()[0]


@pytest.mark.parametrize(
    ("processes", "devices"),
    [pytest.param(1, 4, marks=pytest.mark.slow), pytest.param(2, 1, marks=pytest.mark.slow)],
)
def test_the_numbers_of_one_device(alone, processes, devices):
    for result in train(processes, devices):
        assert result["devices"] == processes * devices
        assert result["losses"] == pytest.approx(alone["losses"], rel=1e-4)
        assert result["values"] == pytest.approx(alone["values"], rel=1e-3, abs=1e-4)


def test_a_batch_that_cannot_be_shared_is_refused():
    class Mesh:
        size = 3

    with pytest.raises(InputError, match="a multiple of the mesh's 3 devices, got 16"):
        make_train_chunk.__wrapped__(None, None, batch_size=16, mesh=Mesh())
