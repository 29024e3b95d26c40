"""The matched arm's rule against its definition, step by step."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kdtheory.distillation import tabulate
from kdtheory.studies.matched import matched_steps

complexities = st.integers(0, 20).map(float)


@given(st.data())
def test_at_every_step_teaches_the_latest_checkpoint_that_is_borne(data):
    teacher = data.draw(st.lists(complexities, min_size=1, max_size=6))
    gaps = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    points = [0, *np.cumsum(gaps).tolist()]
    student = data.draw(st.lists(complexities, min_size=len(points), max_size=len(points)))

    steps = matched_steps(teacher, points, student)

    assert list(steps) == sorted(steps)
    table = tabulate([np.zeros((1, 1))] * len(teacher), range(len(teacher)))
    schedule = table.rescheduled(steps)
    borne = np.interp(np.arange(points[-1] + 1), points, np.maximum.accumulate(student))
    for step, capacity in enumerate(borne):
        allowed = [i for i, asked in enumerate(teacher) if asked <= capacity]
        assert int(schedule.index(jnp.int32(step))) == (max(allowed) if allowed else 0), step


def test_a_student_that_bears_everything_has_the_last_teacher_at_once():
    assert matched_steps([1.0, 2.0, 3.0], [0, 7], [3.0, 3.0]) == (-1, -1, 7)


def test_a_student_that_bears_nothing_keeps_the_first_teacher():
    assert matched_steps([1.0, 2.0, 3.0], [0, 7], [0.0, 0.5]) == (7, 7, 7)
