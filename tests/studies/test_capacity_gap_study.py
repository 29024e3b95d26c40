"""Pairs of known quality: the study says what their rows say."""

import pytest

from kdtheory.datasets import load
from kdtheory.models import summarize
from kdtheory.report.figures import render
from kdtheory.runs import RunConfig
from kdtheory.studies import find_study
from kdtheory.studies.capacity_gap import CAPACITY_GAP, analyse, cases
from kdtheory.studies.network_pairs import Pair, parameters, student_families
from kdtheory.studies.results import summary

ASSISTED = "resnet8-lenet5x4-lenet5x1"
# pair: accuracy of teacher, of the student on labels and offline, complexity of labels and offline
OBEYING = {
    "resnet8-lenet5x1": (0.90, 0.70, 0.71, 4.0, 3.0),
    "resnet8-lenet5x2": (0.90, 0.74, 0.76, 3.5, 2.4),
    "lenet5x2-lenet5x1": (0.75, 0.70, 0.75, 4.0, 2.0),
    "lenet5x4-lenet5x1": (0.80, 0.70, 0.73, 4.0, 2.2),
    ASSISTED: (0.85, 0.70, 0.78, 4.0, 2.5),
}
# The largest student finds the supervision most complex; no two of gap, complexity and gain are
# ordered as predicted, which holds of all three at once only if none is a perfect order.
BREAKING = {
    "resnet8-lenet5x1": (0.90, 0.70, 0.73, 3.0, 2.0),
    "resnet8-lenet5x2": (0.90, 0.74, 0.78, 3.5, 2.4),
    "lenet5x2-lenet5x1": (0.75, 0.70, 0.71, 3.0, 2.6),
    "lenet5x4-lenet5x1": (0.80, 0.70, 0.75, 3.0, 2.8),
    ASSISTED: (0.85, 0.70, 0.72, 3.0, 2.9),
}


@pytest.fixture
def rows_of(hand_made):
    def rows(case, teacher, on_labels, offline, complexity, teachers_complexity, sign=1):
        pair, made = Pair.of(case), []
        for seed in range(3):
            # Seeds differ by more than pairs do.
            hand = hand_made(seed, teacher=pair.teacher, student=pair.student)
            shift, factor = 0.02 * seed, 1 + 0.2 * seed
            on_self = {"arm": "self", "temperature": 1.0}
            made += [
                hand.teacher(test_accuracy=teacher + shift),
                hand.student("labels", test_accuracy=on_labels + shift),
                hand.student("offline", 4.0, test_accuracy=offline + shift),
                hand.student("self", 1.0, test_accuracy=on_labels + sign * 0.01 + shift),
                hand.complexity("labels", adjusted_complexity=factor * complexity),
                hand.complexity("offline", 4.0, adjusted_complexity=factor * teachers_complexity),
                hand.complexity("labels", adjusted_complexity=factor * complexity, **on_self),
                hand.complexity(
                    "self", 1.0, adjusted_complexity=factor * (complexity - sign), **on_self
                ),
            ]
        return made

    return rows


@pytest.fixture
def obeying(rows_of):
    return {case: rows_of(case, *values) for case, values in OBEYING.items()}


def test_rows_that_obey_are_seen(obeying):
    found = analyse(obeying).findings
    assert {f.verdict for f in found} == {"seen"}
    # One family of students; all pairs and one student's; two students' rounds; an assistant.
    assert len(found) == 2 + 2 * 3 + 2 * 2 + 2


def test_rows_that_break_the_hypotheses_are_not_seen(rows_of):
    rows = {case: rows_of(case, *values, sign=-1) for case, values in BREAKING.items()}
    assert {f.verdict for f in analyse(rows).findings} == {"not seen"}


def test_the_table_pairs_gap_and_gain_by_seed(obeying):
    analysis = analyse(obeying)
    columns = analysis.tables[0].columns
    assert columns["gap"][0].mean == pytest.approx(20.0)
    assert columns["gap"][0].sd == pytest.approx(0.0, abs=1e-9)
    assert columns["gain of offline"][0].mean == pytest.approx(1.0)
    assert columns["gain of self"][0].mean == pytest.approx(1.0)
    assert columns["adjusted complexity, offline"][0].mean == pytest.approx(3.0 * 1.2)
    assert columns["teacher"][-1] == "lenet5x4, taught by resnet8"
    assert columns["teacher's parameters"][-1] == parameters("lenet5x4", "cifar100")
    assert columns["student's parameters"][1] == parameters("lenet5x2", "cifar100")
    assert "resnet8" in summary(CAPACITY_GAP, analysis, "small")


def test_the_figure_shows_families_and_every_pair(obeying):
    figure = analyse(obeying).figures[0].figure
    left, middle, right = figure.axes
    assert len(left.get_legend().get_texts()) == 2
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [case.replace("-", " → ") for case in OBEYING]
    assert len(middle.containers) == len(right.containers) == len(OBEYING)
    assert render(figure, "png").startswith(b"\x89PNG")


def test_families_grow_under_one_teacher():
    names = ("r-lenet5x4", "r-lenet5x1", "r-mlp8x1", "r-lenet5x4-lenet5x1", "lenet5x2-lenet5x1")
    rows = {name: [{"dataset": "digits"}] for name in names}
    assert student_families(rows) == {"lenet": ["r-lenet5x1", "r-lenet5x4"]}


def test_parameters_are_those_for_the_runs_images():
    for size in ("smoke", "small"):
        config = next(iter(cases(size).values()))
        loaded = load(config.data.dataset, task=config.data.task)
        counted = summarize(
            config.distillation.student, num_outputs=1, image_shape=loaded.image_shape
        )
        assert parameters(config.distillation.student, config.data.dataset) == counted.num_params


@pytest.mark.parametrize("size", ["smoke", "small", "full"])
def test_runs_are_named_after_their_networks(size):
    assert find_study("capacity_gap") is CAPACITY_GAP
    found = cases(size)
    for name, config in found.items():
        assert isinstance(config, RunConfig)
        assert Pair.of(name) == (
            config.distillation.teacher,
            config.distillation.assistant,
            config.distillation.student,
        )
        assert parameters(config.distillation.student, config.data.dataset) > 0
    # The assistant's pair is compared with the same pair without it.
    assisted = [Pair.of(name) for name in found if Pair.of(name).assistant]
    assert len(assisted) == 1
    assert f"{assisted[0].teacher}-{assisted[0].student}" in found
    assert len(cases("smoke")) <= 3
