"""Teachers and rules of known quality: the study says what their rows say."""

import pytest

from kdtheory.arms import Supervision
from kdtheory.errors import InputError
from kdtheory.report.figures import render
from kdtheory.runs import RunConfig
from kdtheory.studies import find_study
from kdtheory.studies.checkpoint_spans import Teaching, teachings
from kdtheory.studies.results import summary
from kdtheory.studies.schedule import (
    SCHEDULE,
    analyse,
    before_training,
    cases,
    earliness,
)
from kdtheory.studies.schedule_figure import spread_of

TAUS = (1.0, 4.0)
STEPS = (10, 20, 30, 40)
#: Complexity of the four checkpoints of an early and a late teacher.
EARLY, LATE = (1.0, 1.8, 1.9, 2.0), (1.0, 1.2, 1.4, 2.0)
END = {"step": 40, "epoch": 4.0}


@pytest.fixture
def rows_of(hand_made):
    def rows(accuracies, complexities, until=(15, 25, 40, 40)):
        """Rows of a run whose arms have these accuracies, by the arm's name."""
        made = []
        for seed in range(3):
            # Seeds differ by more than rules do.
            hand, shift = hand_made(seed), 0.05 * seed
            made.append(hand.teacher(**END))
            for tau in TAUS:
                for arm, accuracy in accuracies.items():
                    schedule = {"schedule": list(until)} if arm == "matched" else {}
                    made.append(
                        hand.student(arm, tau, test_accuracy=accuracy + shift, **END, **schedule)
                    )
                for step, value in zip(STEPS, complexities, strict=True):
                    scaled = (1 + shift) * value
                    made.append(
                        hand.bound(
                            "online", tau, checkpoint_step=step, n=10, trace=100.0,
                            squared_norm=scaled**2,
                        )
                    )  # fmt: skip
        return made

    return rows


@pytest.fixture
def obeying(rows_of):
    accuracies = {"offline": 0.70, "online": 0.74, "matched": 0.76}
    return {
        "cosine-4": rows_of(accuracies, EARLY),
        "cosine-2": rows_of({"online": 0.72}, EARLY),
        "cosine-until-0.25-4": rows_of({"online": 0.75}, EARLY),
        "cosine-until-1-4": rows_of({"online": 0.73}, EARLY),
        "constant-4": rows_of(accuracies, LATE),
    }


@pytest.fixture
def breaking(rows_of):
    """Accuracy falls with changes, complexity falls along training, and constant rises first."""
    accuracies = {"offline": 0.76, "online": 0.72, "matched": 0.70}
    return {
        "cosine-4": rows_of(accuracies, (3.0, 2.9, 2.8, 2.0)),
        "cosine-2": rows_of({"online": 0.74}, (3.0, 2.9, 2.8, 2.0)),
        "cosine-until-0.25-4": rows_of({"online": 0.71}, (3.0, 2.9, 2.8, 2.0)),
        "cosine-until-1-4": rows_of({"online": 0.75}, (3.0, 2.9, 2.8, 2.0)),
        "constant-4": rows_of(accuracies, (4.0, 3.9, 3.8, 2.0)),
    }


def test_rows_that_obey_are_seen(obeying):
    found = analyse(obeying).findings
    assert {f.verdict for f in found} == {"seen"}
    # At each temperature: online over three parts and for the other teacher, the order of the
    # parts, two about frequency, matched for two teachers, one order of teachers.
    two_runs_alone = [f for f in found if f.hypothesis.startswith("constant") and "often" in f[0]]
    assert not two_runs_alone
    assert len(found) == 2 * (4 + 1 + 2 + 2 + 1)


def test_rows_that_break_the_hypotheses_are_not_seen(breaking):
    assert {f.verdict for f in analyse(breaking).findings} == {"not seen"}


def test_the_table_holds_rules_and_paired_gains(obeying):
    analysis = analyse(obeying)
    columns = analysis.tables[0].columns
    lines = [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]
    at_1 = {(line["teacher's schedule"], line["rule"]): line for line in lines if line["τ"] == 1.0}
    assert len(lines) == 2 * len(at_1) == 2 * 9
    papers = at_1["cosine", "by time, 4 checkpoints over 0.5"]
    assert papers["changes of teacher"].mean == 3
    assert papers["gain over offline"].mean == pytest.approx(4.0)
    assert papers["gain over offline"].sd == pytest.approx(0.0, abs=1e-9)
    fewer = at_1["cosine", "by time, 2 checkpoints over 0.5"]
    assert fewer["changes of teacher"].mean == 1
    assert fewer["gain over offline"].mean == pytest.approx(2.0)
    # Beside the students of the run that has them.
    throughout = at_1["cosine", "by time, 4 checkpoints over 1"]
    assert throughout["gain over offline"].mean == pytest.approx(3.0)
    assert at_1["cosine", "offline"]["changes of teacher"].mean == 0
    assert at_1["cosine", "offline"]["gain over offline"] is None
    assert at_1["cosine", "matched"]["gain over offline"].mean == pytest.approx(6.0)
    assert "matched above the rule by time" in summary(SCHEDULE, analysis, "small")


def test_means_over_training_weigh_each_checkpoint_by_its_time(rows_of):
    rows = rows_of({"offline": 0.7, "online": 0.7, "matched": 0.7}, EARLY)
    assert before_training(rows, Supervision("offline", 4.0), 4)[0] == pytest.approx(2.0)
    by_time = before_training(rows, Supervision("online", 4.0), 4)
    assert by_time[0] == pytest.approx(sum(EARLY) / 4)
    # Of two checkpoints the first one teaches half the time.
    assert before_training(rows, Supervision("online", 4.0), 2)[0] == pytest.approx(1.9)
    # 15 steps of the first, 10 of the second, 15 of the third; the last never teaches.
    matched = before_training(rows, Supervision("matched", 4.0), 4)[0]
    assert matched == pytest.approx((15 * 1.0 + 10 * 1.8 + 15 * 1.9) / 40)
    assert earliness(rows, 4.0)[2] == pytest.approx(sum(EARLY) / 8)
    with pytest.raises(InputError, match="labels"):
        teachings(rows, Supervision("labels", None), 4)


def test_teaching_skips_what_never_teaches():
    teaching = Teaching(checkpoints=(10, 20, 30), until=(-1, -1, 30), total_steps=30)
    assert teaching.spans == {30: 30}
    assert teaching.changes == 0
    # The last one teaches on when the student is trained for longer than its teacher.
    assert Teaching((10, 20), (10, 20), 50).spans == {10: 10, 20: 40}
    # And a student that is trained for less never sees it.
    assert Teaching((10, 20), (10, 20), 8).spans == {10: 8}


def test_the_figure_has_both_rules_and_every_teacher(obeying):
    figure = analyse(obeying).figures[0].figure
    parts, counts, trajectories, rules = figure.axes
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]
    assert legends[0] == ["online, τ = 1", "online, τ = 4"]
    assert list(parts.lines[0].get_xdata()) == [0, 0.25, 0.5, 1]
    assert "matched, τ = 4" in legends[1]
    # Spread otherwise, a teacher is the same.
    assert legends[2] == [f"{name}, τ = {t}" for name in ("cosine", "constant") for t in (1, 4)]
    assert "by time" in legends[3]
    # A line by time, and one a seed and temperature.
    assert len(rules.lines) == 1 + 2 * 3
    assert list(counts.lines[0].get_xdata()) == [1, 2, 4]
    assert len(trajectories.lines) == 4
    assert render(figure, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("size", ["smoke", "small", "full"])
def test_runs_are_named_after_their_teacher(size):
    assert find_study("schedule") is SCHEDULE
    for name, config in cases(size).items():
        teacher, count = name.rsplit("-", 1)
        schedule, part = spread_of(teacher)
        assert isinstance(config, RunConfig)
        assert config.teaching.online_until == part
        assert config.teaching.teacher_optimizer.schedule == schedule
        assert (
            int(count) == config.teaching.online_checkpoints
            or config.teaching.online_checkpoints is None
        )
        assert int(count) <= config.teaching.teacher_checkpoints
        assert config.measuring.bounds
    first = next(iter(cases(size).values()))
    assert {"offline", "online", "matched"} <= set(first.distillation.arms)
    assert len(cases("smoke")) <= 4
