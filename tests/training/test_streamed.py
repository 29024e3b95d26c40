"""Training from a stream makes the updates of the loop on the device, and resumes to them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kdtheory import models
from kdtheory.datasets import AugmentConfig, load, load_streamed, stream
from kdtheory.datasets.streaming import StreamBatch
from kdtheory.errors import InputError
from kdtheory.targets import online, stack
from kdtheory.training import (
    data_mesh,
    fit,
    init_state,
    make_train_chunk,
    resumable,
    run,
    training_data,
)
from kdtheory.training.batches import batch_indices
from kdtheory.training.streamed import run_streamed

MODEL = models.create("mlp8x1", 10)
OPTIMIZER = optax.sgd(0.1, momentum=0.9)
KEY = jax.random.key(1)


@pytest.fixture(scope="module")
def dataset():
    return load("digits", train_size=64, validation_size=32, test_size=16)


def variables_of(dataset, seed):
    return models.init(MODEL, jax.random.key(seed), dataset.image_shape)


def start(dataset, **settings):
    """A chunk with augmentation, a first state, an online teacher."""
    augmentation = AugmentConfig(crop_padding=1, cutout=2)
    chunk = make_train_chunk(
        MODEL, OPTIMIZER, batch_size=16, length=2, augmentation=augmentation, **settings
    )
    line = stack([variables_of(dataset, 2), variables_of(dataset, 3)], [4, 8])
    teacher = online(MODEL.apply, line, temperature=4.0, alpha=0.5)
    return chunk, init_state(variables_of(dataset, 0), OPTIMIZER), teacher


def as_on_the_device(dataset):
    """The batches that `run` draws with `KEY`, as a stream."""

    def batches(*, start_step, stop_step):
        order_key = jax.random.split(KEY)[0]
        for step in range(start_step, stop_step):
            rows = np.asarray(
                batch_indices(order_key, jnp.int32(step), num_examples=64, batch_size=16)
            )
            train = dataset.train
            yield StreamBatch(step, train.images[rows], train.labels[rows], rows)

    return batches


def trained(dataset, batches, *, state=None, stops=(8,), **settings):
    chunk, initial, teacher = start(dataset, **settings)
    losses = []
    reached = list(
        run_streamed(
            chunk, initial if state is None else state, teacher, batches, KEY,
            mean=dataset.mean, std=dataset.std, stops=stops,
            on_chunk=lambda step, loss: losses.append((step, loss)),
        )
    )  # fmt: skip
    return reached, losses


def assert_same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("settings", [{}, {"mesh": data_mesh()}], ids=["device", "mesh"])
def test_the_same_batches_give_the_losses_of_the_loop_on_the_device(dataset, settings):
    chunk, state, teacher = start(dataset)
    data = training_data(dataset.train, mean=dataset.mean, std=dataset.std)
    losses = []
    (end,) = run(chunk, state, teacher, data, KEY, stops=[8],
                 on_chunk=lambda step, loss: losses.append((step, loss)))  # fmt: skip
    (streamed,), seen = trained(dataset, as_on_the_device(dataset), **settings)
    assert [step for step, _ in seen] == [2, 4, 6, 8]
    np.testing.assert_allclose([loss for _, loss in seen], [loss for _, loss in losses], rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        end.params, streamed.params,
    )  # fmt: skip


def test_resumes_bit_for_bit_from_grains_stream(dataset, tmp_path):
    batches = functools.partial(stream, dataset.train, batch_size=16, seed=3)
    (halfway, end), _ = trained(dataset, batches, stops=(4, 8))
    (resumed,), _ = trained(dataset, batches, state=halfway)
    assert_same(end, resumed)

    chunk, state, teacher = start(dataset)

    def train(state, stops, pause):
        return run_streamed(chunk, state, teacher, batches, KEY, mean=dataset.mean,
                            std=dataset.std, stops=stops, pause=pause)  # fmt: skip

    settings = {"folder": tmp_path, "points": [4, 8], "name": "student"}
    first = resumable(train, state, **settings)
    next(first)
    first.close()  # ends here, as a process that is killed
    points = dict(resumable(train, state, **settings))
    assert list(points) == [4, 8]
    assert_same(points[8], end.variables)


def test_batches_of_other_steps_are_refused(dataset):
    def late(*, start_step, stop_step):
        return as_on_the_device(dataset)(start_step=start_step + 1, stop_step=stop_step)

    with pytest.raises(InputError, match=r"the steps 0 to 1 in order, got \[1, 2\]"):
        trained(dataset, late)

    def short(*, start_step, stop_step):
        return as_on_the_device(dataset)(start_step=start_step, stop_step=3)

    with pytest.raises(InputError, match=r"the steps 2 to 3 in order, got \[2\]"):
        trained(dataset, short)


def test_fit_streams_what_does_not_fit(dataset):
    lazily = load_streamed("digits", train_size=64, validation_size=32, test_size=16)
    arguments = {"epochs": 3, "batch_size": 16, "key": jax.random.key(0)}
    results = [
        fit("mlp8x1", lazily, **arguments), fit("mlp8x1", dataset, streamed=True, **arguments)
    ]  # fmt: skip
    assert_same(*[result.variables for result in results])
    history = results[0].history
    assert [record.epoch for record in history] == [1, 2, 3]
    assert history[-1].loss < history[0].loss
    assert history[-1].validation_accuracy is not None
    with pytest.raises(InputError, match="can only be streamed"):
        fit("mlp8x1", lazily, streamed=False, **arguments)
