"""An epoch's order is made once, and is the one that each program would make."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models
from kdtheory.targets import Labels
from kdtheory.training import (
    OptimizerConfig,
    TrainingData,
    init_state,
    make_optimizer,
    make_train_chunk,
    run,
)
from kdtheory.training.epoch_orders import EpochOrders
from kdtheory.training.parallel_dispatch import side_by_side

MODEL = models.create("mlp8x1", 2)
OPTIMIZER = make_optimizer(OptimizerConfig(), 100)


def chunk_of(length):
    return make_train_chunk(MODEL, OPTIMIZER, batch_size=4, length=length)


def data_of(count):
    images = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 1), np.uint8)
    labels = jnp.asarray(np.arange(count) % 2, jnp.int32)
    half = jnp.full(1, 0.5, jnp.float32)
    return TrainingData(jnp.asarray(images), labels, half, half)


def start():
    return init_state(models.init(MODEL, jax.random.key(0), (4, 4, 1)), OPTIMIZER)


def test_a_run_makes_the_updates_of_programs_that_sort_themselves():
    data, key, chunk = data_of(18), jax.random.key(3), chunk_of(2)  # 4 steps an epoch
    (found,) = run(chunk, start(), Labels(2), data, key, stops=[12])
    expected = start()
    for _ in range(6):
        expected, _ = chunk.advance(expected, Labels(2), data, key)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_one_order_an_epoch_for_each_key():
    keys = jax.random.split(jax.random.key(1), 3)
    orders = EpochOrders(chunk_of(2), keys, 18)
    first = orders.at(0)
    assert orders.at(2) is first
    assert first.shape == (3, 18)
    second = orders.at(4)
    assert not (np.asarray(second) == np.asarray(first)).all()
    for key, of_key in zip(keys, np.asarray(second), strict=True):
        np.testing.assert_array_equal(EpochOrders(chunk_of(2), key, 18).at(6), of_key)
        assert sorted(of_key) == list(range(18))


@pytest.mark.parametrize("length", [4, 3])
def test_programs_of_whole_epochs_or_of_parts_of_two_make_their_own(length):
    assert EpochOrders(chunk_of(length), jax.random.key(0), 18).at(0) is None


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_side_by_side_keeps_the_order_and_hands_errors_on(backend):
    with side_by_side(3, backend) as call_each:
        for _ in range(2):
            assert call_each(pow, [2, 3, 4], [2, 2, 2]) == [4, 9, 16]
        with pytest.raises(ZeroDivisionError):
            call_each(lambda x: 1 / x, [1, 0, 2])
