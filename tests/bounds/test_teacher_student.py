import numpy as np
import pytest

from kdtheory.bounds import held_out_bound, margin_bound, teacher_student_bound
from kdtheory.errors import InputError


def student_bound(margins, gamma=0.5, delta=0.05):
    return margin_bound(
        margins,
        squared_norm=1.0,
        trace=float(len(margins)),
        gamma=gamma,
        delta=delta,
        kernel_depends_on_sample=False,
    )


def test_three_parts_add_up_over_a_grid():
    student = student_bound(np.linspace(-1, 3, 500), gamma=np.array([0.25, 0.5, 1.0]))
    terms = teacher_student_bound(
        student,
        teacher_error=0.2,
        teacher_error_on_sample=False,
        teacher_depends_on_sample=False,
        teacher_delta=0.01,
    )
    np.testing.assert_allclose(
        terms.bound,
        0.2 + terms.margin_loss + terms.complexity_term + terms.confidence_term,
    )
    assert terms.delta == pytest.approx(0.06)
    assert terms.validity == "certificate"
    assert terms.best().gamma == student.best().gamma


def test_error_on_the_sample_is_never_tighter_than_the_bound_for_the_true_labels():
    rng = np.random.default_rng(0)
    for _ in range(50):
        f, g = rng.normal(size=(2, 40))
        y = np.sign(rng.normal(size=40))
        direct = student_bound(y * f)
        terms = teacher_student_bound(
            student_bound(np.sign(g) * f),
            teacher_error=float(np.mean(y * np.sign(g) <= 0)),
            teacher_error_on_sample=True,
            teacher_depends_on_sample=True,
        )
        assert terms.validity == "certificate"
        assert terms.bound >= direct.bound


def test_a_memorising_teacher_breaks_the_distribution_form_which_says_so():
    """A teacher that is +1 on the sample and -1 elsewhere; the student is +1; all labels are -1.

    Its error on the distribution is 0 and the student agrees with it on the sample by a wide
    margin, yet the student always errs. On the sample the teacher errs too, and that form holds.
    """
    student = student_bound(np.ones(20_000))
    distribution = teacher_student_bound(
        student, teacher_error=0.0, teacher_error_on_sample=False, teacher_depends_on_sample=True
    )
    assert distribution.bound < 0.1
    assert distribution.validity == "diagnostic"
    assert distribution.premises.broken == ("the teacher was trained on other examples",)
    sample = teacher_student_bound(
        student, teacher_error=1.0, teacher_error_on_sample=True, teacher_depends_on_sample=True
    )
    assert sample.bound >= 1
    assert sample.validity == "certificate"


def test_bad_teacher_input():
    student = student_bound(np.ones(5))
    options = {"teacher_error_on_sample": True, "teacher_depends_on_sample": True}
    with pytest.raises(InputError, match=r"teacher_error must be in \[0, 1\]"):
        teacher_student_bound(student, teacher_error=1.5, **options)
    with pytest.raises(InputError, match="teacher_delta"):
        teacher_student_bound(student, teacher_error=0.5, teacher_delta=0.96, **options)


def test_held_out_bound_covers_a_known_error():
    rng = np.random.default_rng(2)
    errors = rng.binomial(200, 0.1, size=3000)
    bounds = np.array([held_out_bound(int(k), 200, delta=0.1) for k in errors])
    covered = np.mean(bounds >= 0.1)
    assert 0.88 < covered < 0.97
    assert held_out_bound(5, 5) == 1.0
    with pytest.raises(InputError, match="num_errors"):
        held_out_bound(6, 5)
