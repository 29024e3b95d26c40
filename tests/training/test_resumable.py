"""Stored trainings: bit for bit after a break, SIGTERM, damaged or foreign checkpoints."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models
from kdtheory.datasets import load
from kdtheory.errors import RunError, Terminated
from kdtheory.targets import Labels
from kdtheory.training import (
    Checkpoints,
    OptimizerConfig,
    handle_sigterm,
    init_state,
    make_optimizer,
    make_train_chunk,
    resumable,
    run,
    run_many,
    training_data,
)
from kdtheory.training.resuming import KEPT_STATES

POINTS = [0, 4, 8]


@pytest.fixture(scope="module")
def setting():
    dataset = load("digits", train_size=64, test_size=32)
    data = training_data(dataset.train, mean=dataset.mean, std=dataset.std)
    model = models.create("mlp8x1", 10)
    optimizer = make_optimizer(OptimizerConfig(learning_rate=0.05), 8)
    chunk = make_train_chunk(model, optimizer, batch_size=16, length=1)
    variables = [models.init(model, jax.random.key(seed), (8, 8, 1)) for seed in (0, 1)]
    return chunk, [init_state(v, optimizer) for v in variables], data


def start(setting, folder, *, on_chunk=None, save_seconds=0.0):
    chunk, states, data = setting

    def train(state, stops, pause):
        labels = Labels(10)
        return run(chunk, state, labels, data, jax.random.key(1), stops=stops, name="student",
                   on_chunk=on_chunk, pause=pause)  # fmt: skip

    return resumable(train, states[0], folder=folder, points=POINTS, name="student",
                     save_seconds=save_seconds)  # fmt: skip


def assert_same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


class Killed(BaseException):
    pass


def killer(at):
    def on_chunk(step, loss):
        if step == at:
            raise Killed

    return on_chunk


def test_broken_at_every_step_it_ends_the_same(setting, tmp_path):
    unbroken = list(start(setting, tmp_path / "unbroken"))
    assert [step for step, _ in unbroken] == POINTS
    for at in range(1, 9):
        with pytest.raises(Killed):
            list(start(setting, tmp_path / "killed", on_chunk=killer(at)))
    made = []
    again = list(start(setting, tmp_path / "killed", on_chunk=lambda *step: made.append(step)))
    assert len(made) == 1  # each call went on from where the one before was killed
    assert_same(unbroken, again)
    # Ended: the points stay, the states for going on are gone.
    assert Checkpoints(tmp_path / "killed").steps() == POINTS
    assert not (tmp_path / "killed" / "resume").exists()
    assert_same(unbroken, list(start(setting, tmp_path / "killed", on_chunk=killer(1))))


def test_only_the_last_states_are_kept(setting, tmp_path):
    reached = start(setting, tmp_path)
    while next(reached)[0] < 4:
        pass
    assert Checkpoints(tmp_path / "resume").steps() == [3, 4][-KEPT_STATES:]


def test_several_networks_are_stored_together(setting, tmp_path):
    chunk, states, data = setting
    keys = [jax.random.key(1), jax.random.key(2)]

    def begin(folder, at=None):
        def train(states, stops, pause):
            return run_many(chunk, states, [Labels(10)] * 2, data, keys, stops=stops, pause=pause,
                            on_chunk=killer(at))  # fmt: skip

        return list(
            resumable(train, states, folder=folder, points=POINTS, name="both", save_seconds=0.0)
        )

    unbroken = begin(tmp_path / "unbroken")
    with pytest.raises(Killed):
        begin(tmp_path / "killed", at=6)
    assert_same(unbroken, begin(tmp_path / "killed"))
    assert [step for step, _ in unbroken] == POINTS
    assert len(unbroken[0][1]) == 2


@pytest.fixture
def default_handlers():
    """Python's own handler of Ctrl-C: a shell's background job begins with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_handlers")
@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)]
)
def test_signals_wait_until_the_state_is_saved(setting, tmp_path, number, kind):
    def on_chunk(step, loss):
        if step == 6:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with handle_sigterm(), pytest.raises(kind, match="student is saved at step 6"):
        list(start(setting, tmp_path, on_chunk=on_chunk, save_seconds=1e9))
    assert signal.getsignal(number) is before
    assert Checkpoints(tmp_path / "resume").steps()[-1] == 6
    assert [step for step, _ in start(setting, tmp_path)] == POINTS


def test_sigterm_outside_of_training_ends_at_once():
    with handle_sigterm(), pytest.raises(Terminated, match="what was stored before stays"):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_diverged_training_names_the_last_good_checkpoint(setting, tmp_path):
    chunk, states, data = setting

    def train(state, stops, pause):
        for reached in run(chunk, state, Labels(10), data, jax.random.key(1), stops=[4, 8]):
            yield reached
            worse = jax.tree.map(lambda p: p * jnp.nan, reached.params)
            yield from run(chunk, reached._replace(params=worse), Labels(10), data,
                           jax.random.key(1), stops=[8], name="student on labels")  # fmt: skip

    match = (
        r"student on labels: the loss is nan at step 5; likely cause: .*"
        r"last good checkpoint: .*resume/step-00000004"
    )
    with pytest.raises(RunError, match=match):
        list(resumable(train, states[0], folder=tmp_path, points=[4, 8], name="student"))


def test_another_models_state_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"a": jnp.zeros((2, 3)), "b": jnp.arange(4)})
    checkpoints.wait()
    like = {"a": jnp.zeros((2, 3)), "b": jnp.arange(4)}
    assert_same(checkpoints.restore(1, like), like)
    # The same numbers of each dtype in other shapes, or under other names.
    for other in ({"a": jnp.zeros((3, 2)), "b": jnp.arange(4)}, {"a": like["a"], "c": like["b"]}):
        with pytest.raises(RunError, match=r"step-00000001 cannot be read \(it holds another"):
            checkpoints.restore(1, other)
    with pytest.raises(RunError, match="step-00000001 cannot be read"):
        checkpoints.restore(1, {"a": jnp.zeros(7), "b": jnp.arange(4)})
    checkpoints.close()
