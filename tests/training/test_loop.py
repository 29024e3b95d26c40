"""The training loop: batches, resumption bit for bit, no recompilation, non-finite losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models
from kdtheory.datasets import AugmentConfig
from kdtheory.errors import InputError, RunError
from kdtheory.targets import Labels, Trajectory, offline
from kdtheory.training import (
    Checkpoints,
    OptimizerConfig,
    default_steps_per_dispatch,
    init_state,
    make_optimizer,
    make_train_chunk,
    predict_logits,
    run,
    steps_per_epoch,
)
from kdtheory.training.batches import batch_indices


def make(dataset, *, name="mlp16x1", length=2, unroll=None, optimizer=None, augmentation=None):
    model = models.create(name, dataset.num_outputs)
    transformation = make_optimizer(optimizer or OptimizerConfig(learning_rate=0.1), 40)
    chunk = make_train_chunk(
        model, transformation, batch_size=16, length=length, unroll=unroll,
        augmentation=augmentation,
    )  # fmt: skip
    variables = models.init(model, jax.random.key(0), dataset.image_shape)
    return model, chunk, init_state(variables, transformation)


def assert_same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_an_epoch_visits_every_example_once():
    key = jax.random.key(0)

    def epoch(number):
        return [
            batch_indices(key, jnp.int32(4 * number + i), num_examples=64, batch_size=16)
            for i in range(4)
        ]

    for number in (0, 1):
        assert sorted(np.concatenate(epoch(number))) == list(range(64))
    assert not np.array_equal(epoch(0)[0], epoch(1)[0])


def test_learns(dataset, data):
    model, chunk, state = make(dataset)
    states = list(run(chunk, state, Labels(10), data, jax.random.key(1), stops=[0, 40]))
    before, after = (
        predict_logits(
            model.apply, s.variables, dataset.train.images, mean=dataset.mean, std=dataset.std
        )
        for s in states
    )
    accuracy = [np.mean(z.argmax(1) == dataset.train.labels) for z in (before, after)]
    assert accuracy[1] > max(accuracy[0], 0.6)


@pytest.mark.parametrize("name", ["mlp16x1", pytest.param("resnet8", marks=pytest.mark.slow)])
def test_resumes_bit_for_bit(dataset, data, name):
    """Through checkpoints on disk, with augmentation and batch statistics."""
    _, chunk, state = make(dataset, name=name, augmentation=AugmentConfig())
    key = jax.random.key(1)
    unbroken = list(run(chunk, state, Labels(10), data, key, stops=[4, 8]))
    (halfway,) = run(chunk, state, Labels(10), data, key, stops=[4])
    (resumed,) = run(chunk, halfway, Labels(10), data, key, stops=[8])
    assert_same(unbroken[0], halfway)
    assert_same(unbroken[1], resumed)


def test_checkpoints_restore_bit_for_bit(tmp_path, dataset):
    _, _, state = make(dataset, name="resnet8")
    checkpoints = Checkpoints(tmp_path / "unit")
    checkpoints.save(12, state)
    checkpoints.save(4, state._replace(step=jnp.int32(4)))
    checkpoints.wait()
    assert checkpoints.steps() == [4, 12]
    restored = checkpoints.restore(12, state)
    assert_same(restored, state)
    assert type(restored) is type(state)
    checkpoints.close()


def test_a_damaged_checkpoint_is_named(tmp_path, dataset):
    _, _, state = make(dataset)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(4, state)
    checkpoints.wait()
    for path in (tmp_path / "step-00000004").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(RunError, match="step-00000004 cannot be read"):
        checkpoints.restore(4, state)
    checkpoints.close()


def test_unrolled_and_scanned_steps_agree(dataset, data):
    results = []
    for unroll in (True, False):
        _, chunk, state = make(dataset, length=4, unroll=unroll)
        (end,) = run(chunk, state, Labels(10), data, jax.random.key(1), stops=[8])
        results.append(end.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *results)


def test_batch_norm_statistics_move_only_in_training(dataset, data):
    model, chunk, state = make(dataset, name="resnet8")
    (end,) = run(chunk, state, Labels(10), data, jax.random.key(1), stops=[2])
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.model_state, end.model_state)
    assert all(jax.tree.leaves(moved))
    # Inference leaves them alone: the same logits for the same image in any company.
    images = dataset.train.images
    arguments = {"mean": dataset.mean, "std": dataset.std}
    whole = predict_logits(model.apply, end.variables, images, batch_size=64, **arguments)
    part = predict_logits(model.apply, end.variables, images[:10], batch_size=3, **arguments)
    np.testing.assert_allclose(whole[:10], part, rtol=1e-4, atol=1e-5)


def test_another_teacher_of_the_same_shape_is_not_compiled_again(dataset, data):
    model, chunk, state = make(dataset)
    key = jax.random.key(1)
    for seed, temperature in ((2, 1.0), (3, 4.0)):
        variables = models.init(model, jax.random.key(seed), dataset.image_shape)
        teacher = offline(model.apply, variables, temperature=temperature)
        list(run(chunk, state, teacher, data, key, stops=[4]))
    assert chunk.advance._cache_size() == 1


def test_a_non_finite_loss_stops_with_its_step(dataset, data):
    optimizer = OptimizerConfig(learning_rate=1e30, warmup=0.0, schedule="constant")
    _, chunk, state = make(dataset, optimizer=optimizer)
    with pytest.raises(RunError, match=r"student on labels: the loss is (nan|inf) at step \d+"):
        list(run(chunk, state, Labels(10), data, jax.random.key(1), stops=[40],
                 name="student on labels"))  # fmt: skip


def test_the_likely_cause_is_the_one_that_is_there(dataset, data):
    model, chunk, state = make(dataset)
    teacher = offline(model.apply, state.variables)
    broken = jax.tree.map(
        lambda leaf: leaf * jnp.nan if leaf.ndim > 1 else leaf, teacher.trajectory.variables
    )
    broken = teacher.replace(trajectory=Trajectory(broken, teacher.trajectory.steps))
    with pytest.raises(RunError, match="cause: the teacher's parameters or logits are not finite"):
        list(run(chunk, state, broken, data, jax.random.key(1), stops=[2]))
    lost = state._replace(params=jax.tree.map(lambda leaf: leaf * jnp.nan, state.params))
    with pytest.raises(RunError, match="at step 1; likely cause: no update had been made"):
        list(run(chunk, lost, Labels(10), data, jax.random.key(1), stops=[2]))


def test_the_callers_state_stays_valid(dataset, data):
    _, chunk, state = make(dataset)
    list(run(chunk, state, Labels(10), data, jax.random.key(1), stops=[2]))
    assert int(state.step) == 0
    assert np.isfinite(jax.tree.leaves(state.params)[0]).all()


def test_uneven_stops_are_refused(dataset, data):
    _, chunk, state = make(dataset)
    with pytest.raises(InputError, match="multiples of 2"):
        list(run(chunk, state, Labels(10), data, jax.random.key(1), stops=[3]))


@pytest.mark.parametrize("batch_size", [0, 65])
def test_batch_size_out_of_range(batch_size):
    with pytest.raises(InputError, match="between 1 and the 64"):
        steps_per_epoch(64, batch_size)


def test_dispatch_divides_an_epoch():
    for steps in range(1, 40):
        for backend in ("cpu", "gpu"):
            assert steps % default_steps_per_dispatch(steps, backend) == 0
