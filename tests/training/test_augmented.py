"""Augmentation in the compiled step: what was without mixup stays; with it, losses are mixed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kdtheory import models
from kdtheory.datasets import AugmentConfig, augment, load, normalize, train_view
from kdtheory.targets import Labels, RandomLabels, offline
from kdtheory.targets.examples import Examples
from kdtheory.training import init_state, make_train_chunk, run, run_many
from kdtheory.training.batches import batch_indices

MODEL = models.create("mlp8x1", 10)
OPTIMIZER = optax.sgd(0.1)


@pytest.fixture(scope="module")
def dataset():
    return load("digits", train_size=64, validation_size=0, test_size=16)


def state_of(dataset, seed=0):
    return init_state(models.init(MODEL, jax.random.key(seed), dataset.image_shape), OPTIMIZER)


def chunk_of(augmentation, **settings):
    settings = {"batch_size": 16, "length": 1, **settings}
    return make_train_chunk(MODEL, OPTIMIZER, augmentation=augmentation, **settings)


@pytest.mark.parametrize("augmentation", [None, AugmentConfig(crop_padding=1)])
def test_without_cutout_and_mixup_the_numbers_are_those_of_crop_flip_and_normalise(
    dataset, data, augmentation
):
    """Bit for bit: the step that was before cutout and mixup, written out."""
    key = jax.random.key(1)

    @jax.jit
    def step(state, data, key):  # arguments, as in the chunk: constants are computed elsewhere
        order_key, augment_key = jax.random.split(key)
        step_key = jax.random.fold_in(augment_key, state.step)
        rows = batch_indices(order_key, state.step, num_examples=64, batch_size=16)
        images = data.images[rows]
        if augmentation is not None:
            images = augment(step_key, images, config=augmentation)
        images = normalize(images, data.mean, data.std)

        def objective(params):
            logits = MODEL.apply({"params": params}, images, train=True)
            return Labels(10).loss(logits, 1, Examples(images, data.labels[rows], rows)).mean()

        gradient = jax.grad(objective)(state.params)
        updates, opt_state = OPTIMIZER.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state._replace(step=state.step + 1, params=params, opt_state=opt_state)

    by_hand = state_of(dataset)
    for _ in range(4):
        by_hand = step(by_hand, data, key)
    (end,) = run(chunk_of(augmentation), state_of(dataset), Labels(10), data, key, stops=[4])
    jax.tree.map(np.testing.assert_array_equal, end.params, by_hand.params)


def supervisions(dataset):
    teacher = models.init(MODEL, jax.random.key(7), dataset.image_shape)
    return {
        "labels": Labels(10),
        "random_labels": RandomLabels(jax.random.key(3), 10),
        "teacher": offline(MODEL.apply, teacher, temperature=2.0, alpha=0.5),
    }


@pytest.mark.parametrize("name", ["labels", "random_labels", "teacher"])
def test_the_loss_of_mixup_is_the_mixture_by_hand(dataset, data, name):
    augmentation = AugmentConfig(crop_padding=1, cutout=3, mixup=0.8)
    state, key = state_of(dataset), jax.random.key(1)
    supervision = supervisions(dataset)[name]
    seen = []
    list(run(chunk_of(augmentation), state, supervision, data, key, stops=[1],
             on_chunk=lambda _, loss: seen.append(loss)))  # fmt: skip

    order_key, augment_key = jax.random.split(key)
    rows = batch_indices(order_key, jnp.int32(0), num_examples=64, batch_size=16)
    view = train_view(
        jax.random.fold_in(augment_key, 0), data.images[rows], mean=data.mean, std=data.std,
        config=augmentation,
    )  # fmt: skip
    weight, partner = float(view.weight), np.asarray(view.partner)
    assert 0.01 < weight < 0.99
    logits = MODEL.apply(state.variables, view.images)
    own, other = (
        supervision.loss(logits, 1, Examples(view.images, data.labels[which], which))
        for which in (rows, rows[partner])
    )
    assert not np.allclose(own, other)
    expected = np.mean(weight * np.asarray(own) + (1 - weight) * np.asarray(other))
    assert seen == [pytest.approx(expected, rel=1e-5)]


def test_cutout_changes_what_is_seen(dataset, data):
    ends = []
    for cutout in (0, 4):
        augmentation = AugmentConfig(crop_padding=0, flip=False, cutout=cutout)
        (end,) = run(
            chunk_of(augmentation), state_of(dataset), Labels(10), data, jax.random.key(1),
            stops=[1],
        )  # fmt: skip
        ends.append(end.params)
    differ = jax.tree.map(lambda a, b: bool((a != b).any()), *ends)
    assert any(jax.tree.leaves(differ))


@pytest.mark.slow
def test_networks_together_mix_as_each_alone(dataset, data):
    """Each network has its own key, so its own weight and partners."""
    chunk = chunk_of(AugmentConfig(crop_padding=1, cutout=2, mixup=0.5), length=2)
    states, keys = [state_of(dataset, i) for i in (0, 1)], [jax.random.key(i) for i in (5, 6)]
    (together,) = run_many(chunk, states, [Labels(10)] * 2, data, keys, stops=[4],
                           together="vmap")  # fmt: skip
    for state, key, reached in zip(states, keys, together, strict=True):
        (alone,) = run(chunk, state, Labels(10), data, key, stops=[4])
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), alone.params, reached.params
        )
