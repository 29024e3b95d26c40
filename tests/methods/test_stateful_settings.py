"""Methods with variables of their own under a training's other settings."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

FLAGS = os.environ.get("XLA_FLAGS", "")


def trained(setting, method, module, **changes):
    """Return losses and the student's variables after two updates."""
    trainer, losses = setting.trainer(module, epochs=1, **changes), []
    data = trainer.place(setting.dataset.train, mean=setting.dataset.mean, std=setting.dataset.std)
    *_, (_, variables) = trainer.train(
        method, data, init_key=jax.random.key(0), train_key=jax.random.key(1), points=[0, 2],
        on_step=lambda _, loss: losses.append(loss),
    )  # fmt: skip
    return losses, variables


def values(variables):
    return np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(variables)])


@pytest.fixture(scope="module")
def usual(method_and_module, setting):
    """What a method trains under the usual settings."""
    return trained(setting, *method_and_module)


def test_streamed_images_give_the_same_numbers(method_and_module, usual, setting):
    losses, variables = usual
    found, streamed = trained(setting, *method_and_module, streamed=True)
    np.testing.assert_allclose(found, losses, rtol=1e-5)
    np.testing.assert_allclose(values(streamed), values(variables), rtol=1e-4, atol=1e-6)


def test_products_in_bfloat16_leave_parameters_and_losses_in_float32(
    method_and_module, usual, setting
):
    losses, variables = usual
    found, rounded = trained(setting, *method_and_module, compute_dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(rounded)} == {np.dtype("float32")}
    np.testing.assert_allclose(found, losses, rtol=0.05)
    assert not np.array_equal(values(rounded), values(variables))


def of_devices(name, devices):
    """Print what a method trains over all devices; this file is then a script of its own."""
    from conftest import METHODS, Setting  # of this folder, the script's
    from kdtheory.training import data_mesh

    setting = Setting()
    mesh = data_mesh() if devices > 1 else None
    losses, variables = trained(setting, *METHODS[name](setting.pair), mesh=mesh)
    found = {"losses": losses, "values": values(variables).astype(float).tolist()}
    print(json.dumps({**found, "devices": len(jax.devices())}))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dml", "crd", "sskd", "css"])
def test_two_devices_give_the_numbers_of_one(name):
    found = []
    for devices in (1, 2):
        flags = f"{FLAGS} --xla_force_host_platform_device_count={devices}"
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
        done = subprocess.run(
            [sys.executable, __file__, name, str(devices)], env=environment,
            capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        found.append(json.loads(done.stdout.splitlines()[-1]))
    one, two = found
    assert (one["devices"], two["devices"]) == (1, 2)
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert two["values"] == pytest.approx(one["values"], rel=1e-3, abs=1e-5)


if __name__ == "__main__":
    of_devices(sys.argv[1], int(sys.argv[2]))
