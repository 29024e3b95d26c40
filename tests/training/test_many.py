"""Several networks at once make the updates that each makes alone; half precision; the teacher."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdtheory import models
from kdtheory.datasets import AugmentConfig
from kdtheory.errors import InputError
from kdtheory.targets import Labels, Trajectory, offline, online, stack
from kdtheory.training import (
    OptimizerConfig,
    in_precision,
    init_state,
    make_optimizer,
    make_train_chunk,
    run,
    run_many,
)
from kdtheory.training.loop import NonFiniteLossError

TOGETHER = ("interleaved", "vmap", "packed")
SEEDS = (0, 1, 2)


def variables_of(name, dataset, seed):
    model = models.create(name, dataset.num_outputs)
    return model, models.init(model, jax.random.key(seed), dataset.image_shape)


def student(name, dataset, *, length=2, **settings):
    model = models.create(name, dataset.num_outputs)
    optimizer = make_optimizer(OptimizerConfig(learning_rate=0.05), 8)
    chunk = make_train_chunk(model, optimizer, batch_size=16, length=length, **settings)
    states = [init_state(variables_of(name, dataset, seed)[1], optimizer) for seed in SEEDS]
    return chunk, states, [jax.random.key(100 + seed) for seed in SEEDS]


def trajectory_of(name, dataset, steps):
    model = models.create(name, dataset.num_outputs)
    checkpoints = [variables_of(name, dataset, 10 + i)[1] for i in range(len(steps))]
    return model.apply, stack(checkpoints, steps)


def assert_close(first, second, tolerance=2e-4):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), first, second
    )


def largest_difference(first, second):
    return max(
        float(jnp.abs(a - b).max())
        for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    )


@pytest.mark.parametrize("together", TOGETHER)
@pytest.mark.parametrize("name", ["mlp16x1", pytest.param("resnet8", marks=pytest.mark.slow)])
def test_seeds_together_are_seeds_alone(dataset, data, name, together):
    """With BatchNorm, augmentation and each seed's own batches; in part, then to the end."""
    length = 1 if name == "resnet8" else 2
    chunk, states, keys = student(name, dataset, length=length, augmentation=AugmentConfig())
    alone = [
        list(run(chunk, state, Labels(10), data, key, stops=[2, 4]))
        for state, key in zip(states, keys, strict=True)
    ]
    many = list(
        run_many(chunk, states, [Labels(10)] * 3, data, keys, stops=[2, 4], together=together)
    )
    for stop in (0, 1):
        for seed in SEEDS:
            if together == "interleaved":
                assert largest_difference(alone[seed][stop], many[stop][seed]) == 0
            assert_close(alone[seed][stop], many[stop][seed])
    assert largest_difference(many[1][0].params, many[1][1].params) > 1e-3
    # Any of them goes on alone.
    (alone_again,) = run(chunk, many[0][1], Labels(10), data, keys[1], stops=[4])
    assert_close(alone_again, alone[1][1])


@pytest.mark.parametrize("together", ["vmap", "packed"])
def test_arms_that_differ_in_numbers_share_a_program(dataset, data, together):
    apply_fn, line = trajectory_of("mlp8x1", dataset, [2, 4])
    arms = [
        online(apply_fn, line, temperature=temperature, alpha=alpha)
        for temperature, alpha in ((1.0, 1.0), (4.0, 1.0), (4.0, 0.5))
    ]
    chunk, states, keys = student("mlp16x1", dataset)
    states, keys = [states[0]] * 3, [keys[0]] * 3
    (ends,) = run_many(chunk, states, arms, data, keys, stops=[4], together=together)
    for arm, state, key, end in zip(arms, states, keys, ends, strict=True):
        (alone,) = run(chunk, state, arm, data, key, stops=[4])
        assert_close(alone.params, end.params)
    assert chunk.advance._cache_size() == chunk.advance_many._cache_size() == 1
    # The arms' teacher is one: another temperature or checkpoint compiles nothing.
    other = [online(apply_fn, line, temperature=tau) for tau in (2.0, 3.0, 5.0)]
    list(run_many(chunk, states, other, data, keys, stops=[4], together=together))
    assert chunk.advance_many._cache_size() == 1


def test_every_seed_may_have_its_own_teacher(dataset, data):
    chunk, states, keys = student("mlp16x1", dataset)
    teachers = []
    for seed in SEEDS:
        model, variables = variables_of("mlp8x1", dataset, 20 + seed)
        teachers.append(offline(model.apply, variables, temperature=2.0))
        # One object for all, so that the programs of the three are one.
        teachers[-1] = teachers[-1].replace(apply_fn=teachers[0].apply_fn)
    (ends,) = run_many(chunk, states, teachers, data, keys, stops=[4], together="vmap")
    for state, teacher, key, end in zip(states, teachers, keys, ends, strict=True):
        (alone,) = run(chunk, state, teacher, data, key, stops=[4])
        assert_close(alone.params, end.params)


@pytest.mark.parametrize("steps", [[1, 3, 6], [2, 4, 8], [4, 8], [8]])
def test_the_checkpoint_taken_out_of_the_loop_is_the_right_one(dataset, data, steps):
    """Whether or not the teacher's steps are multiples of a program's, each update has its own."""
    apply_fn, line = trajectory_of("mlp8x1", dataset, steps)
    ends = []
    for length in (1, 4):
        chunk, states, keys = student("mlp16x1", dataset, length=length)
        (end,) = run(chunk, states[0], online(apply_fn, line), data, keys[0], stops=[8])
        ends.append(end)
    assert_close(*ends)


def test_an_aligned_trajectory_holds_one_checkpoint_over_a_chunk():
    line = stack([{"params": jnp.full(2, float(i))} for i in (1, 2, 3)], [4, 8, 16])
    for step in (1, 5, 9, 13, 17):
        part = line.aligned(4).over(step, 4)
        for within in range(step, step + 4):
            assert part.at(within)["params"].tolist() == line.at(within)["params"].tolist()
        assert part.variables["params"].shape[0] == 1
    assert line.aligned(3).over(1, 3) is not None
    assert isinstance(line.aligned(3).over(1, 3), Trajectory)
    assert line.aligned(3).over(1, 3).variables["params"].shape[0] == 3


@pytest.mark.parametrize("name", ["lenet5x1", pytest.param("resnet8", marks=pytest.mark.slow)])
def test_half_precision_rounds_the_products_and_nothing_else(dataset, data, name):
    ends = {}
    for dtype in ("float32", "bfloat16"):
        chunk, states, keys = student(name, dataset, length=1, compute_dtype=dtype)
        (ends[dtype],) = run(chunk, states[0], Labels(10), data, keys[0], stops=[4])
    assert {leaf.dtype for leaf in jax.tree.leaves(ends["bfloat16"])} == {
        leaf.dtype for leaf in jax.tree.leaves(ends["float32"])
    }
    assert 1e-6 < largest_difference(ends["float32"].params, ends["bfloat16"].params) < 0.1


def test_half_precision_teachers_give_float32_logits(dataset):
    model, variables = variables_of("lenet5x1", dataset, 0)
    images = jax.random.normal(jax.random.key(1), (4, *dataset.image_shape))
    half = in_precision(model.apply, "bfloat16")
    logits, exact = half(variables, images), model.apply(variables, images)
    assert logits.dtype == jnp.float32
    assert 0 < largest_difference(logits, exact) < 0.1
    assert half == in_precision(model.apply, "bfloat16") or half.apply_fn.__self__ is model
    assert "bf16" in str(jax.make_jaxpr(lambda x: half(variables, x))(images))
    with pytest.raises(
        InputError,
        match=r"compute_dtype .float16.; did you mean .bfloat16.. known: bfloat16, float32",
    ):
        in_precision(model.apply, "float16")


def test_packed_leaves_no_grouped_convolution(dataset, data):
    chunk, states, keys = student("resnet8", dataset, length=1)
    from kdtheory.training.stacking import stack_states, stack_supervisions

    arguments = (
        stack_states(states), stack_supervisions([Labels(10)] * 3), data, jnp.stack(keys),
    )  # fmt: skip
    grouped = {
        packed: any(
            f"_group_count={count}" in line
            for line in str(chunk.advance_many.trace(*arguments, packed).jaxpr).splitlines()
            for count in (3,)
        )
        for packed in (False, True)
    }
    assert grouped == {False: True, True: False}


def test_a_diverging_network_is_named(dataset, data):
    chunk, states, keys = student("mlp16x1", dataset)
    broken = states[1]._replace(params=jax.tree.map(lambda p: p * np.inf, states[1].params))
    for together in TOGETHER:
        with pytest.raises(NonFiniteLossError, match="seed 1: the loss is nan at step 1"):
            list(
                run_many(
                    chunk, [states[0], broken], [Labels(10)] * 2, data, keys[:2], stops=[4],
                    together=together, names=["seed 0", "seed 1"],
                )
            )  # fmt: skip


def test_what_cannot_run_together_is_refused(dataset, data):
    chunk, states, keys = student("mlp16x1", dataset)
    apply_fn, line = trajectory_of("mlp8x1", dataset, [4])
    mixed = [Labels(10), online(apply_fn, line)]

    def together(supervisions, states=states[:2], **settings):
        return list(run_many(chunk, states, supervisions, data, keys[:2], stops=[2], **settings))

    assert len(together(mixed)[0]) == 2
    with pytest.raises(InputError, match="of one kind"):
        together(mixed, together="vmap")
    with pytest.raises(InputError, match=r"at the same step, got \[0, 2\]"):
        together([Labels(10)] * 2, [states[0], states[1]._replace(step=jnp.int32(2))])
    with pytest.raises(InputError, match="got 2 states, 1 supervisions, 2 keys"):
        together([Labels(10)])
    with pytest.raises(InputError, match="known: interleaved, packed, vmap"):
        together([Labels(10)] * 2, together="at once")


def test_pauses_yield_between_stops(dataset, data):
    chunk, states, keys = student("mlp16x1", dataset)
    seen = []

    def pause(step):
        seen.append(step)
        return step == 4

    reached = run(chunk, states[0], Labels(10), data, keys[0], stops=[0, 8], pause=pause)
    assert [int(state.step) for state in reached] == [0, 4, 8]
    assert seen == [2, 4, 6]
