"""Teachers of known quality: the study says what their rows say."""

import pytest

from kdtheory.errors import InputError
from kdtheory.report.figures import render
from kdtheory.runs import RunConfig
from kdtheory.studies.noisy_teacher import CLEAN, NOISY_TEACHER, analyse, cases
from kdtheory.studies.results import summary

# teacher: error, complexity term, adjusted complexity, the student's accuracy
OBEYING = {
    CLEAN: (0.1, 2.0, 1.0, 0.80),
    "label-noise-0.4": (0.3, 3.0, 1.5, 0.70),
    "other-split": (0.4, 2.1, 1.1, 0.60),
    "weights-0.1": (0.15, 1.9, 0.9, 0.78),
    "weights-1": (0.5, 3.5, 0.5, 0.50),
}
# Errors and accuracies turned round, and noise that makes nothing more complex.
BREAKING = {
    CLEAN: (0.5, 2.0, 1.0, 0.50),
    "label-noise-0.4": (0.4, 1.5, 0.5, 0.40),
    "other-split": (0.3, 1.3, 1.1, 0.35),
    "weights-0.1": (0.2, 1.2, 0.9, 0.33),
    "weights-1": (0.1, 1.1, 0.5, 0.30),
}


@pytest.fixture
def rows_of(hand_made):
    def rows(error, term, adjusted, accuracy):
        made = []
        for seed in range(3):
            # Seeds differ by more than teachers do: only paired differences see the teachers.
            hand, shift = hand_made(seed), 0.01 * seed
            made.append(hand.teacher(train_accuracy=1 - error, test_accuracy=0.95 - error))
            for tau in (1.0, 4.0):
                made += [
                    hand.student("offline", tau, test_accuracy=accuracy + shift),
                    hand.bound("offline", tau, teacher_error=error + shift,
                               complexity_term=(1 + 0.02 * seed) * term),
                    hand.complexity("offline", tau, adjusted_complexity=adjusted * (1 + shift)),
                ]  # fmt: skip
            made += [hand.student("labels"), hand.complexity("labels"), hand.bound("labels")]
        return made

    return rows


def test_rows_that_obey_are_seen(rows_of):
    analysis = analyse({case: rows_of(*values) for case, values in OBEYING.items()})
    assert {found.verdict for found in analysis.findings} == {"seen"}
    # Each corruption, one grade, and at two temperatures two kinds of complexity and the order.
    assert len(analysis.findings) == 4 + 1 + 2 * 3


def test_rows_that_break_the_hypotheses_are_not_seen(rows_of):
    analysis = analyse({case: rows_of(*values) for case, values in BREAKING.items()})
    assert {found.verdict for found in analysis.findings} == {"not seen"}


def test_tables_hold_values_and_paired_changes(rows_of):
    analysis = analyse({case: rows_of(*values) for case, values in OBEYING.items()})
    table, changes = (table.columns for table in analysis.tables)
    assert table["teacher"] == [case for case in OBEYING for _ in range(2)]
    assert table["teacher's train accuracy (%)"][2].mean == pytest.approx(70.0)
    assert table["complexity term"][0].mean == pytest.approx(2.0 * 1.02)
    assert changes["teacher error"][0].mean == pytest.approx(0.2)
    assert changes["teacher error"][0].sd == pytest.approx(0.0, abs=1e-12)
    assert changes["student's test accuracy (%)"][-1].mean == pytest.approx(-30.0)
    assert CLEAN not in changes["teacher"]
    assert "weights-0.1" in summary(NOISY_TEACHER, analysis, "small")


def test_the_figure_shows_every_teacher_at_every_temperature(rows_of):
    analysis = analyse({case: rows_of(*values) for case, values in OBEYING.items()})
    panels = analysis.figures[0].figure.axes
    assert [axes.get_title() for axes in panels] == ["offline, τ = 1", "offline, τ = 4"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == list(OBEYING)
    assert render(analysis.figures[0].figure, "png").startswith(b"\x89PNG")


def test_rows_without_bounds_are_refused(rows_of):
    rows = [row for row in rows_of(*OBEYING[CLEAN]) if row["kind"] != "bound"]
    with pytest.raises(InputError, match="no bounds"):
        analyse({CLEAN: rows})


@pytest.mark.parametrize("size", ["smoke", "small", "full"])
def test_cases(size):
    configs = cases(size)
    assert CLEAN in configs
    assert all(
        isinstance(config, RunConfig) and config.measuring.bounds for config in configs.values()
    )
    # Students, data and seeds are the same in all: only the teacher differs.
    students = {
        (c.data, c.distillation.student, c.training.epochs, c.measuring.ntk_size)
        for c in configs.values()
    }
    assert len(students) == 1
    teachers = {
        (c.teaching.teacher_data, c.teaching.teacher_noise, c.teaching.teacher_perturbation)
        for c in configs.values()
    }
    assert len(teachers) == len(configs)
    assert len(cases("smoke")) <= 3
