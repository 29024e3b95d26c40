"""Which checkpoint teaches when, on the methods that choose among a teacher's checkpoints."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.methods.one_checkpoint import one_checkpoint_steps
from kdtheory.methods.rco import rco_steps
from kdtheory.methods.two_checkpoints import two_checkpoints_steps
from kdtheory.targets import tabulate

accuracies = st.lists(st.floats(0, 1), min_size=1, max_size=12)
totals = st.integers(8, 200)


def teaching(steps, total):
    """The position of the checkpoint that teaches at each of the student's updates."""
    table = tabulate([np.zeros((1, 1))] * len(steps), range(1, len(steps) + 1))
    schedule = table.rescheduled(steps)
    return np.asarray([int(schedule.index(jnp.int32(t))) for t in range(1, total + 1)])


@pytest.mark.parametrize("route", [rco_steps, one_checkpoint_steps, two_checkpoints_steps])
@given(accuracies, totals)
def test_a_route_never_goes_back_and_ends_with_the_last_update(route, accuracies, total):
    steps = route(accuracies, total)
    assert len(steps) == len(accuracies)
    assert list(steps) == sorted(steps)
    assert steps[-1] == total


def test_rco_gives_four_anchors_equal_times_and_ends_with_the_last():
    found = teaching(rco_steps([0.0] * 8, 40), 40)
    assert found.tolist() == [1] * 10 + [3] * 10 + [5] * 10 + [7] * 10


def test_rco_of_fewer_checkpoints_uses_them_all():
    assert teaching(rco_steps([0.0] * 3, 9), 9).tolist() == [0] * 3 + [1] * 3 + [2] * 3


def test_one_checkpoint_is_the_middle_one_throughout():
    assert set(teaching(one_checkpoint_steps([0.0] * 10, 20), 20)) == {4}


def test_two_checkpoints_begin_where_half_is_gained():
    found = teaching(two_checkpoints_steps([0.0, 0.1, 0.42, 0.7, 0.8], 20), 20)
    assert found.tolist() == [2] * 10 + [4] * 10


def test_a_teacher_that_gains_at_its_end_alone_teaches_alone():
    assert set(teaching(two_checkpoints_steps([0.0, 0.0, 0.8], 20), 20)) == {2}
