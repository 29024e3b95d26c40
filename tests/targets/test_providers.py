"""Target providers against values worked out by hand, and the trajectory's step boundaries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.targets import (
    Labels,
    RandomLabels,
    centre,
    distillation_loss,
    offline,
    online,
    residual,
    self_distillation,
    soft_targets,
    stack,
)
from kdtheory.targets.examples import Examples
from kdtheory.targets.providers import mixture_targets


def linear(variables, images):
    """A teacher whose logits are its parameters, whatever the image."""
    return jnp.broadcast_to(variables["params"], (images.shape[0], variables["params"].shape[0]))


def examples(labels):
    labels = jnp.asarray(labels, jnp.int32)
    return Examples(jnp.zeros((len(labels), 2, 2, 1)), labels, jnp.arange(len(labels)))


def trajectory(steps, num_outputs=1):
    """Checkpoint i has all logits equal to i + 1."""
    return stack(
        [{"params": jnp.full(num_outputs, i + 1.0)} for i in range(len(steps))], list(steps)
    )


@pytest.mark.parametrize(
    ("step", "checkpoint"),
    [(0, 1), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (35, 3), (36, 3), (10_000, 3)],
)
def test_online_teacher_is_the_first_checkpoint_at_or_after_the_step(step, checkpoint):
    provider = online(linear, trajectory([10, 20, 35]))
    assert float(provider.logits(step, examples([0]))[0, 0]) == checkpoint


def test_online_of_one_checkpoint_is_offline():
    line = trajectory([7], num_outputs=3)
    batch = examples([0, 2])
    for step in (0, 7, 8):
        np.testing.assert_array_equal(
            online(linear, line, temperature=4.0).targets(step, batch),
            offline(linear, line.final(), temperature=4.0).targets(step, batch),
        )


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_targets_by_hand(temperature):
    z = np.array([1.0, 2.0, 4.0])
    expected = np.exp(z / temperature) / np.exp(z / temperature).sum()
    np.testing.assert_allclose(soft_targets(jnp.array([z]), temperature)[0], expected, rtol=1e-6)
    # binary: 2 sigmoid(z / tau) - 1
    expected = 2 / (1 + np.exp(-1.5 / temperature)) - 1
    np.testing.assert_allclose(soft_targets(jnp.array([[1.5]]), temperature), [[expected]], 1e-6)


def test_mixture_by_hand():
    provider = offline(linear, {"params": jnp.array([1.0, 0.0])}, temperature=2.0, alpha=0.25)
    soft = np.exp([0.5, 0.0]) / np.exp([0.5, 0.0]).sum()
    np.testing.assert_allclose(
        provider.targets(0, examples([1])), [0.25 * soft + 0.75 * np.array([0.0, 1.0])], rtol=1e-6
    )


def test_logit_targets_are_scaled_by_the_temperature():
    provider = offline(linear, {"params": jnp.array([3.0, -1.0])}, temperature=2.0)
    np.testing.assert_allclose(
        provider.targets(0, examples([0]), form="logits"), [[1.5, -0.5]], rtol=1e-6
    )


def test_labels_of_both_kinds():
    np.testing.assert_array_equal(Labels(1).targets(0, examples([0, 1])), [[-1.0], [1.0]])
    np.testing.assert_array_equal(Labels(3).targets(0, examples([2])), [[0.0, 0.0, 1.0]])


def test_random_labels_belong_to_the_example_and_not_to_the_batch():
    provider = RandomLabels(jax.random.key(0), 10)
    whole = provider.labels(jnp.arange(200))
    np.testing.assert_array_equal(provider.labels(jnp.array([17, 3])), whole[jnp.array([17, 3])])
    counts = np.bincount(np.asarray(whole), minlength=10)
    assert counts.min() > 5  # every class occurs: uniform, not constant
    assert not np.array_equal(whole, RandomLabels(jax.random.key(1), 10).labels(jnp.arange(200)))


def test_the_loss_is_that_of_the_targets_teacher():
    params = jnp.array([1.0, -2.0, 0.5])
    provider = self_distillation(linear, {"params": params}, temperature=4.0, alpha=0.7)
    f, batch = jnp.array([[0.1, 0.2, 0.3]]), examples([1])
    expected = distillation_loss(f, params[None], batch.labels, alpha=0.7, temperature=4.0)
    np.testing.assert_allclose(provider.loss(f, 5, batch), expected, rtol=1e-6)


def test_another_teacher_needs_no_new_compilation():
    traces = []

    @jax.jit
    def targets(provider, step, batch):
        traces.append(1)
        return provider.targets(step, batch)

    batch = examples([0, 1])
    for temperature, alpha in ((1.0, 1.0), (4.0, 0.5)):
        for steps in ([1, 2, 3], [10, 20, 30]):
            provider = online(linear, trajectory(steps), temperature=temperature, alpha=alpha)
            for step in (0, 15, 40):
                targets(provider, jnp.int32(step), batch)
    assert len(traces) == 1


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_temperature_out_of_range(temperature):
    with pytest.raises(InputError, match="temperature tau must be above 0"):
        online(linear, trajectory([1]), temperature=temperature)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_out_of_range(alpha):
    with pytest.raises(InputError, match=r"alpha must lie in \[0, 1\]"):
        offline(linear, {"params": jnp.ones(1)}, alpha=alpha)


@pytest.mark.parametrize("steps", [[], [2, 2], [3, 1]])
def test_trajectories_increase(steps):
    with pytest.raises(InputError, match="trajectory"):
        trajectory(steps)


def test_centred_and_residual_targets():
    targets = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(centre(targets).sum(axis=0), [0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(residual(targets, targets), jnp.zeros((3, 2)))


def test_mixture_targets_agrees_with_the_provider():
    params = jnp.array([1.0, 0.0, -3.0])
    provider = offline(linear, {"params": params}, temperature=3.0, alpha=0.6)
    batch = examples([0, 2])
    np.testing.assert_array_equal(
        provider.targets(0, batch),
        mixture_targets(linear({"params": params}, batch.images), batch.labels,
                        temperature=3.0, alpha=0.6),
    )  # fmt: skip
