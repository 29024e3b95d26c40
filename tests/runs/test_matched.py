"""The matched arm's rule against its definition, step by step."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.runs.matched import matched_steps
from kdtheory.targets import tabulate

complexities = st.integers(0, 20).map(float)


@given(st.data())
def test_at_every_step_teaches_the_latest_checkpoint_that_is_due(data):
    teacher = data.draw(st.lists(complexities, min_size=1, max_size=6))
    gaps = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    points = [0, *np.cumsum(gaps).tolist()]
    student = data.draw(st.lists(complexities, min_size=len(points), max_size=len(points)))

    steps = matched_steps(teacher, points, student)

    assert list(steps) == sorted(steps)
    table = tabulate([np.zeros((1, 1))] * len(teacher), range(len(teacher)))
    schedule = table.rescheduled(steps)
    reached = np.interp(np.arange(points[-1] + 1), points, np.maximum.accumulate(student))
    for step, now in enumerate(reached):
        due = [i for i, asked in enumerate(teacher) if asked * reached[-1] <= now * teacher[-1]]
        assert int(schedule.index(jnp.int32(step))) == (max(due) if due else 0), step


def test_at_the_end_the_last_checkpoint_teaches_whatever_the_scales():
    for scale in (1e-3, 1.0, 1e3):
        assert matched_steps([1.0, 2.0, 4.0], [0, 10], [0.0, 8.0 * scale]) == (4, 9, 10)


def test_a_pilot_that_learns_nothing_sets_no_pace():
    assert matched_steps([1.0, 2.0, 3.0], [0, 7], [0.0, 0.0]) == (-1, -1, 7)


def test_a_pilot_that_learns_at_the_end_alone_keeps_the_first_teacher_until_then():
    assert matched_steps([1.0, 2.0, 3.0], [0, 7, 8], [0.0, 0.0, 5.0]) == (7, 7, 8)
