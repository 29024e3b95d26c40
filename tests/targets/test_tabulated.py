"""Known logits against the inference passes that they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.targets import (
    TargetProvider,
    offline,
    online,
    self_distillation,
    stack,
    tabulate,
    tabulated,
)
from kdtheory.targets.examples import Examples

N, FEATURES, STEPS = 12, 5, (4, 8, 16)


def network(variables, images):
    return jnp.tanh(images) @ variables["params"]


def teacher_and_table(num_outputs):
    images = jax.random.normal(jax.random.key(0), (N, FEATURES))
    keys = jax.random.split(jax.random.key(1), len(STEPS))
    checkpoints = [{"params": jax.random.normal(key, (FEATURES, num_outputs))} for key in keys]
    table = tabulate([network(checkpoint, images) for checkpoint in checkpoints], STEPS)
    return images, stack(checkpoints, STEPS), table


def batch(images, num_outputs, indices):
    indices = jnp.asarray(indices)
    labels = indices % jnp.asarray(max(num_outputs, 2))
    return Examples(images[indices], labels, indices)


@pytest.mark.parametrize("num_outputs", [1, 3])
@pytest.mark.parametrize("step", [1, 4, 5, 16, 17])
def test_the_same_targets_and_losses_as_the_teacher(num_outputs, step):
    images, trajectory, table = teacher_and_table(num_outputs)
    examples = batch(images, num_outputs, [7, 0, 11])
    student = jax.random.normal(jax.random.key(2), (3, num_outputs))
    settings = {"temperature": 4.0, "alpha": 0.6}
    pairs = [
        (online(network, trajectory, **settings), tabulated(table, **settings)),
        (
            offline(network, trajectory.final(), **settings),
            tabulated(table.last_only(), **settings),
        ),
        (
            self_distillation(network, trajectory.final()),
            tabulated(tabulate([table.final()], [0])),
        ),
    ]
    for computed, known in pairs:
        for form in ("probabilities", "logits"):
            np.testing.assert_allclose(
                known.targets(step, examples, form=form),
                computed.targets(step, examples, form=form),
                rtol=1e-5, atol=1e-6,
            )  # fmt: skip
        np.testing.assert_allclose(
            known.loss(student, step, examples), computed.loss(student, step, examples),
            rtol=1e-5, atol=1e-6,
        )  # fmt: skip


def test_online_offline_and_other_schedules_share_one_program():
    images, _, table = teacher_and_table(3)
    examples = batch(images, 3, [1, 2])
    traces = []

    @jax.jit
    def targets(provider, step, examples):
        traces.append(1)
        return provider.targets(step, examples)

    for schedule in (table, table.last_only(), table.rescheduled([2, 2, 9])):
        for temperature in (1.0, 4.0):
            provider = tabulated(schedule, temperature=temperature)
            assert isinstance(provider, TargetProvider)
            for step in (1, 9):
                targets(provider, jnp.int32(step), examples)
    assert len(traces) == 1


def test_what_is_refused():
    with pytest.raises(InputError, match="as many steps as checkpoints"):
        tabulate([], [])
    table = tabulate([np.zeros((2, 1)), np.ones((2, 1))], [1, 2])
    with pytest.raises(InputError, match="must increase"):
        table.rescheduled([3, 2])
    with pytest.raises(InputError, match="as many steps as checkpoints"):
        table.rescheduled([3])
    with pytest.raises(InputError, match="temperature"):
        tabulated(table, temperature=0.0)
